"""PythonQt, the layer between Qt and Python in Slicer, as narrow as it is there, over PySide6."""
