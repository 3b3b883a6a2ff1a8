"""The labels of a lung mask, outside 0; what faces Slicer reads them too, so nothing is imported here."""

RIGHT, LEFT = 1, 2
"""The patient's."""
