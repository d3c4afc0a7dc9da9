"""The routes of each family."""
