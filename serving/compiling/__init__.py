"""Compiled promotion: a version logged with scikit-learn, XGBoost or LightGBM as an ONNX graph that is proved equal to it.

    compile_version (the resolver's side) --child--> converting -> parity -> files of the compiled form

Everything that touches the model runs in a child process: converters and models may crash, hang or balloon.
"""
