"""Images and transforms in files: headers, grids, and each tool's format of a transform.

Public: `images`, `headers`, `placement`, `grids`, `affine_geometry`, `foreground`, `displacements`, `field_formats`,
`itk_affine`, `itk_files`, `lta`, `x5`, `transform_chain`, `transform_files`, `resampling`, `series`, `landmarks`,
`surfaces`, `templates`. It may import core.
"""
