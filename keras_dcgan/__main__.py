"""python -m keras_dcgan: lists the commands."""

COMMANDS = """Keras DCGAN. Commands; each has --help:

  python -m keras_dcgan.fit             train on a data set
  python -m keras_dcgan.sample          draw pictures from a trained generator
  python -m keras_dcgan.evaluate        measure how good its pictures are
  python -m keras_dcgan.prepare         decode a folder of pictures once, for slow disks
  python -m export                      write it as SavedModel and .tflite files, each proven equal
  python -m export.sampler              draw from a .tflite file, without TensorFlow
  python -m keras_dcgan.train_features  train the small classifiers that evaluate measures with
"""

if __name__ == "__main__":
    print(COMMANDS, end="")
