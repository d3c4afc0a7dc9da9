"""What `bertkit doctor` checks: the machine, the installation, the cache of the Hub, the speed, and the files of a model.

Each check yields findings. A check that raises an exception becomes a finding, too, so that one fault does not hide the others.
No check opens a network connection, and none repeats a token or another secret of the environment.
"""
