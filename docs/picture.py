#!/usr/bin/env python3
"""Draws what a command shows on a terminal as an SVG.

    docs/picture.py OUTPUT.svg [--columns N] [--keep FROM-TO]... [--title TEXT] -- COMMAND...

The command runs on a real pseudo-terminal; what stands on it at the end, with its history, is
what is drawn. `--keep` chooses rows (from 1; several; "12-" is up to the end), and a dotted row
stands for what is left out. Python's standard library alone. The README's picture is one of `demo/run.sh`, with
rows chosen from what it shows.
"""

import argparse
import fcntl
import html
import os
import pty
import re
import struct
import sys
import termios

COLOURS = {
    "30": "#484f58", "31": "#ff7b72", "32": "#7ee787", "33": "#e3b341",
    "34": "#79c0ff", "35": "#d2a8ff", "36": "#76e3ea", "37": "#c9d1d9",
}
BACKGROUND, BAR, TEXT, DIM = "#0d1117", "#161b22", "#c9d1d9", "#7d8590"
ROW, COLUMN, SIZE, PAD, HEAD = 18, 7.83, 13, 18, 38
TOKEN = re.compile(r"\x1b\[(\?)?([0-9;]*)([A-Za-z])|\x1b\][^\x07]*\x07|[\r\n]|[^\x1b\r\n]+")


def record(command, columns):
    """Everything that the command writes to a terminal of this width, and its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(columns))
        os.environ.pop("NO_COLOR", None)
        try:
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    written = bytearray()
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        written += piece
    return written.decode("utf-8", "replace"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def rows(text):
    """The terminal's rows at the end, each a list of (text, style)."""
    done, row, style = [], [], ()
    for token in TOKEN.finditer(text):
        private, arguments, final = token.groups()
        if final == "m" and not private:
            style = () if arguments in ("", "0") else tuple(arguments.split(";"))
        elif final == "K" or token.group() == "\r":
            # This client writes a row from its start, or clears it first.
            row = [] if final == "K" else row
        elif token.group() == "\n":
            done.append(row)
            row = []
        elif final is None and not token.group().startswith("\x1b"):
            row.append((token.group(), style))
    done.append(row)
    while done and not any(part.strip() for part, _ in done[-1]):
        done.pop()
    return done


def kept(all_rows, ranges):
    if not ranges:
        return all_rows
    picked = []
    for number, chosen in enumerate(ranges):
        first, _, last = chosen.partition("-")
        if number:
            picked.append([("⋮", ("2",))])
        picked += all_rows[int(first) - 1 : int(last) if last else None]
    return picked


def width(text):
    return sum(2 if ord(char) >= 0x1F300 or 0x1100 <= ord(char) <= 0x115F or 0x2E80 <= ord(char) <= 0xD7A3 else 1 for char in text)


def drawn(all_rows, columns, title):
    wide, high = columns * COLUMN + 2 * PAD, HEAD + len(all_rows) * ROW + PAD
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high}" viewBox="0 0 {wide:.0f} {high}" role="img">',
        f"<title>{html.escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        f'<path d="M0 8a8 8 0 0 1 8-8h{wide - 16:.0f}a8 8 0 0 1 8 8v20H0z" fill="{BAR}"/>',
    ]
    for at, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        out.append(f'<circle cx="{18 + 18 * at}" cy="14" r="5.5" fill="{colour}"/>')
    out.append(f'<text x="50%" y="19" fill="{DIM}" font-size="12" text-anchor="middle" font-family="system-ui, sans-serif">{html.escape(title)}</text>')
    out.append(
        f'<g font-family="ui-monospace, \'DejaVu Sans Mono\', Menlo, Consolas, monospace" font-size="{SIZE}" fill="{TEXT}" xml:space="preserve">'
    )
    for at, row in enumerate(all_rows):
        column, y = 0, HEAD + at * ROW + 13
        for text, style in row:
            attributes = ""
            if "2" in style:
                attributes += f' fill="{DIM}"'
            for code in style:
                if code in COLOURS:
                    attributes += f' fill="{COLOURS[code]}"'
            if "1" in style:
                attributes += ' font-weight="bold"'
            if text.strip():
                lead = len(text) - len(text.lstrip(" "))
                x = PAD + (column + lead) * COLUMN
                shown = text.strip(" ")
                length = width(shown) * COLUMN
                out.append(
                    f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs"{attributes}>{html.escape(shown)}</text>'
                )
            column += width(text)
    out += ["</g>", "</svg>", ""]
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--keep", action="append", default=[], metavar="FROM-TO")
    parser.add_argument("--title", default="journeyman")
    parser.add_argument("--raw", help="also keep what was written to the terminal, here")
    if "--" not in sys.argv:
        parser.error("the command stands behind --")
    split = sys.argv.index("--")
    arguments, command = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    text, code = record(command, arguments.columns)
    if arguments.raw:
        with open(arguments.raw, "w", encoding="utf-8") as file:
            file.write(text)
    with open(arguments.output, "w", encoding="utf-8") as file:
        file.write(drawn(kept(rows(text), arguments.keep), arguments.columns, arguments.title))
    sys.exit(code)


if __name__ == "__main__":
    main()
