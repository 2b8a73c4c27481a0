"""From a run folder to files that draw pictures without Keras: SavedModel, LiteRT (.tflite) and ONNX."""
