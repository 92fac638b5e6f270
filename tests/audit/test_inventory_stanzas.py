"""Fields in the form of mail headers."""

from tradewind.audit.inventory.stanzas import first, headers, stanzas


def test_paragraphs_fields_and_continuations():
    text = "Package: a\nDescription: short\n long\n .\n more\nno field\n\n\nPackage: b\nTag: x\nTag: y"
    one, two = stanzas(text)
    assert one == {"package": ["a"], "description": ["short\nlong\n.\nmore"]}
    assert two["tag"] == ["x", "y"] and first(two, "tag") == "x" and first(two, "absent") == ""
    assert list(stanzas("\n\n")) == []


def test_a_line_of_blanks_continues_a_field():
    told = headers("License: BSD\n        \n        Copyright\nRequires-Dist: six\n\nLicense: in the text\n")
    assert told["requires-dist"] == ["six"] and told["license"] == ["BSD\n\nCopyright"]


def test_headers_end_where_the_description_begins():
    assert headers("Name: x\r\nVersion: 1\r\n\r\nName: y\r\n") == {"name": ["x"], "version": ["1"]}
    assert headers("") == {} and headers(" lost\nName: x") == {"name": ["x"]}
