"""Files of scans: DICOM series and their headers, what of NIfTI is checked, the NRRD that the panel reads."""
