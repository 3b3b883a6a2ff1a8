"""What faces Slicer: nodes, views, the worker process, set-up. Camel case, as Slicer's own code.

Nothing here imports torch or SimpleITK: networks and readers run in the worker process. The panel
(``COVIDSelfSeg.py``) shows; what it shows and does lives here.
"""
