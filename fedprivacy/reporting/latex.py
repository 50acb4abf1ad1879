"""A document's tables as LaTeX with booktabs, to be taken into a paper by ``\\input``.

Needs nothing but ``\\usepackage{booktabs}``. Names are escaped, so no text of a result can add a command; a character
that pdflatex does not know without further packages becomes a question mark.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from fedprivacy.reporting.document import Cell, Column, Document, Facts, Layouts, Line, Table
from fedprivacy.reporting.text import clean

_ESCAPES = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
}

_MINUS = re.compile(r"(?<!\w)-(?=[0-9])")
_DASH = re.compile(r"-(?=-)")
_LIGATURES = "æøåßÆØÅ"

_INTERVAL = re.compile(r" (\[[^]]*\])$")
FOLDED = "p{0.22\\textwidth}"

PREAMBLE = "% Needs \\usepackage{booktabs}."


def document_to_latex(document: Document) -> str:
    """All tables as ``table`` environments, all lines as paragraphs."""
    parts = [f"% {clean(document.title)}", PREAMBLE]
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Line):
                parts.append(f"\\par\\noindent {escape(block.text)}")
            else:
                parts += [_table(table) for table in _tables(block)]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """``text`` as LaTeX shows it, whatever it holds."""
    parts = _MINUS.split(clean(text))
    plain = ("".join(_ESCAPES.get(c, c if _known(c) else "?") for c in part) for part in parts)
    return "$-$".join(_DASH.sub("-{}", part) for part in plain)


def _known(c: str) -> bool:
    """Whether plain pdflatex sets ``c``: ASCII, an accented Latin letter, or one of its own."""
    return c.isascii() or c in _LIGATURES or ("\u00c0" <= c <= "\u00ff" and unicodedata.decomposition(c) != "")


def _tables(block: Facts | Table | Layouts) -> tuple[Table, ...]:
    if isinstance(block, Facts):
        return ()
    return (block,) if isinstance(block, Table) else block.options[0]


def _table(table: Table) -> str:
    return "\n".join(_lines(table))


def _lines(table: Table) -> Iterator[str]:
    places = "".join(map(_place, table.columns))
    yield "\\begin{table}[htbp]"
    yield "\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}"
    if table.caption:
        yield f"\\caption{{{escape(table.caption)}}}"
    yield f"\\begin{{tabular}}{{@{{}}{places}@{{}}}}"
    yield "\\toprule"
    yield " & ".join(escape(column.title) for column in table.columns) + " \\\\"
    yield "\\midrule"
    for cells in table.rows:
        yield " & ".join(map(_cell, cells)) + " \\\\"
    yield "\\bottomrule"
    yield "\\end{tabular}"
    for note in table.notes:
        yield f"\\par\\smallskip {escape(note)}"
    yield "\\end{table}"


def _place(column: Column) -> str:
    """How a column stands; one that may be folded gets a fixed width."""
    return FOLDED if column.fold else "r" if column.align == "right" else "l"


def _cell(content: Cell) -> str:
    text = _INTERVAL.sub(r"\\,{\\scriptsize \1}", escape(" ".join(content.lines)))
    text = f"{{}}{text}" if text[:1] in ("[", "*") else text  # either would belong to the line break before it
    return f"\\textbf{{{text}}}" if content.tone == "strong" else text
