"""Parts of the manual that a command writes."""


def replace_part(page, name, text):
    """Put text between the comments that mark a part of a page."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    whole = page.read_text(encoding="utf-8")
    before, _, rest = whole.partition(begin)
    _, ended, after = rest.partition(end)
    assert ended, f"{page} has no part {name}"
    made = f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
    page.write_text(made, encoding="utf-8")
