"""Translated text is a plain literal with named placeholders."""

import pytest
from slicer import i18n
from slicer.i18n import tr as _
from slicer.i18n import translate


def test_text_is_returned_in_english_and_remembered():
    assert _("Inputs") == "Inputs"
    assert translate("CovidSelfSeg", "{count} lesions") == "{count} lesions"
    assert {"Inputs", "{count} lesions"} <= i18n.translatable


def test_placeholders_need_names():
    with pytest.raises(ValueError, match="must be named"):
        _("{} lesions")


def test_doubled_braces_are_no_placeholders():
    assert _("{{}} is a dictionary") == "{{}} is a dictionary"


def test_only_text_can_be_translated():
    with pytest.raises(TypeError):
        _(3)
