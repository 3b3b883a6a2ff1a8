"""COVIDSelfSeg's pipeline: from a chest CT to a COVID-19 lesion segmentation, without hand-drawn labels.

Floors, bottom to top; a module imports only from floors below its own:
``errors, perlin, networks`` / ``volume, dicom, events, models`` / ``lungs, frame, phantom, doctor`` /
``synthesis, segmentation, quantification`` / ``pipeline`` / ``batch`` / ``cli``.

Importing this package imports neither torch nor SimpleITK, so Slicer's own process can use the light
parts (``events``, ``errors``) while the networks run in a child process.
"""

__version__ = "0.1.0"
