"""The page of the report: its head, its style, and the sections in it."""

from __future__ import annotations

from collections.abc import Sequence

from bertkit.training.progress import duration
from bertkit.training.record import PRETRAINING, Record, is_finite, is_number
from bertkit.training.report.markup import Section, escaped, number, paragraph
from bertkit.training.report.pictures import COLOURS, Pictures

_DARK = {
    "ink": "#e6edf3",
    "muted": "#9aa4af",
    "line": "#3a424c",
    "blue": "#6cb0ff",
    "orange": "#ffa657",
    "card": "#161b22",
}
_LIGHT = COLOURS | {"page": "#f6f8fa", "green": "#1a7f37", "red": "#b3232e"}

_STYLE = """
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:75rem;background:var(--page);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:0 0 .6rem}
h3{font-size:1rem;margin:1.2rem 0 .4rem}
p{margin:.4rem 0}
a{color:var(--blue)}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.8rem 0}
section{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:1rem;margin:1rem 0}
.muted,figcaption,caption{color:var(--muted);font-size:.875rem}
.tiles,.figures{display:grid;gap:1rem}
.tiles{grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr))}
.tiles>div{overflow-wrap:anywhere;border-left:3px solid var(--line);padding:.1rem .7rem}
.tiles>.best{border-color:var(--blue)}
.tiles b{display:block;font-size:1.6rem;line-height:1.3;font-variant-numeric:tabular-nums}
.figures{grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));align-items:start}
figure{margin:0;overflow-x:auto}
figcaption{text-align:center}
svg{display:block;width:100%;height:auto;margin:0 auto}
svg *{stroke-linejoin:round}
svg text{font-family:system-ui,sans-serif!important}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.875rem;margin:.4rem 0}
caption{text-align:left}
th,td{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--line);max-width:28rem;
overflow-wrap:break-word}
thead th{color:var(--muted);font-weight:600;vertical-align:bottom}
.facts th{font-weight:400;color:var(--muted);white-space:nowrap}
.facts td{overflow-wrap:anywhere}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
pre{background:var(--page);border:1px solid var(--line);border-radius:.3rem;padding:.7rem;margin:.4rem 0;white-space:pre-wrap;
overflow-wrap:anywhere;user-select:all;font-size:.875rem}
.text{white-space:pre-wrap;overflow-wrap:anywhere}
details{margin:.4rem 0}
summary{cursor:pointer;color:var(--blue)}
.mistakes{padding-left:0;list-style:none;margin:0}
.mistakes>li{border-top:1px solid var(--line);padding:.7rem 0}
.mistakes dl{display:grid;grid-template-columns:minmax(4.5rem,max-content) 1fr;gap:.1rem .8rem;margin:.3rem 0}
.mistakes dt{color:var(--muted)}
.mistakes dd{margin:0;min-width:0;overflow-wrap:anywhere}
.good{color:var(--green)}
.bad{color:var(--red)}
.wrong{border-bottom:2px solid var(--red)}
.wrong sub{font-size:.7rem;vertical-align:baseline;margin-left:.2em}
footer{color:var(--muted);font-size:.875rem}
@media(max-width:30rem){
body{padding:.5rem}
h1{font-size:1.3rem}
section{padding:.7rem}
table{font-size:.8rem}
th,td{padding-right:.5rem}
.mistakes dl{grid-template-columns:1fr}
.mistakes dt{font-size:.8rem}
}
"""


def page(record: Record, sections: Sequence[Section], pictures: Pictures) -> str:
    """Return the whole page."""
    title = f"{record.folder.resolve().name}: {record.task}"
    advice = (
        ""
        if pictures.available
        else paragraph('For pictures, type: pip install "bertkit[train]", and write the report again.')
    )
    return document(title, paragraph(summary(record), "muted") + advice, sections, _origin(record))


def document(
    title: str, introduction: str, sections: Sequence[Section], footer: str, style: str = "", images: bool = False
) -> str:
    """Return a page of HTML without scripts, which loads nothing. Its colours are those that the reader's system prefers.

    Args:
        title: its heading.
        introduction: HTML under the heading.
        sections: its parts.
        footer: the text of the last line.
        style: further rules of its style sheet.
        images: whether it has images, which are in the page itself as `data:` addresses.
    """
    links = "".join(f'<a href="#{one.anchor}">{escaped(one.title)}</a>' for one in sections)
    body = "".join(f'<section id="{one.anchor}"><h2>{escaped(one.title)}</h2>{one.body}</section>' for one in sections)
    policy = "default-src 'none'; style-src 'unsafe-inline'" + ("; img-src data:" if images else "")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{escaped(title)}</title><style>{_colours()}{_STYLE}{style}</style></head>\n"
        f"<body><header><h1>{escaped(title)}</h1>{introduction}<nav>{links}</nav></header>\n"
        f"<main>{body}</main>\n<footer>{escaped(footer)}</footer></body></html>\n"
    )


def _colours() -> str:
    dark = _DARK | {"page": "#0d1117", "green": "#56d364", "red": "#ff8f88"}
    light, night = ("".join(f"--{name}:{colour};" for name, colour in each.items()) for each in (_LIGHT, dark))
    return f":root{{color-scheme:light dark;{light}}}@media(prefers-color-scheme:dark){{:root{{{night}}}}}"


def summary(record: Record) -> str:
    """One sentence of what was trained, on how many examples and in which time."""
    item = "documents" if record.task == PRETRAINING else "examples"
    counts = {name: file.get(item) for name, file in record.part("data").items() if isinstance(file, dict)}
    trained, evaluated = counts.get("train"), counts.get("eval")
    base = record.facts.get("model") or ("" if record.task == PRETRAINING else "an unknown model")
    words = [f"{record.training.capitalize()} {base}".rstrip()]
    if is_number(trained):
        words.append(f"on {number(trained)} {item}")
    if is_number(evaluated):
        words.append(f"and evaluated on {number(evaluated)}")
    if is_finite(seconds := record.facts.get("seconds")):
        words.append(f"in {duration(seconds)}")
    if processor := record.facts.get("processor"):
        words.append(f"({processor})")
    return " ".join(words) + "."


def _origin(record: Record) -> str:
    writer = f"bertkit {record.part('versions').get('bertkit', '')}".strip()
    files = (
        "run.json and metrics.jsonl" if record.task == PRETRAINING else "run.json, metrics.jsonl and predictions.jsonl"
    )
    return f"Written by {writer} from {files} in this folder."
