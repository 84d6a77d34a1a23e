"""An image's bill of materials says what is in it, and under which licence."""

from typing import Any

import pytest

from deploy.images.bill import bill, licence_of


def _distribution(**said: object) -> dict[str, Any]:
    return {
        "name": "Some_Package",
        "version": "1.2",
        "licence": "",
        "classifiers": [],
        "text": "",
    } | said


@pytest.mark.parametrize(
    ("said", "licence"),
    [
        ({"licence": "Apache-2.0", "text": "MIT"}, "Apache-2.0"),
        ({"classifiers": ["License :: OSI Approved :: MIT License"]}, "MIT License"),
        ({"text": "BSD 3-Clause\nCopyright ..."}, "BSD 3-Clause"),
        ({"text": "Permission is hereby granted, free of charge, " * 3}, "not said"),
        ({}, "not said"),
    ],
)
def test_a_licence_is_what_the_distribution_says(said: dict[str, object], licence: str) -> None:
    """An expression counts before classifiers, these before the first line of text."""
    assert licence_of(_distribution(**said)) == licence


def test_components_have_package_urls() -> None:
    """Python's and Debian's packages are named as scanners look for them."""
    found = {"python": [_distribution()], "debian": [["libc6", "2.36-9"]]}
    components = bill("server", found)["components"]

    assert [each["purl"] for each in components] == [
        "pkg:pypi/some-package@1.2",
        "pkg:deb/debian/libc6@2.36-9",
    ]
