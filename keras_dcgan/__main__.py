"""python -m keras_dcgan: lists the commands."""

COMMANDS = """Keras DCGAN. Commands; each has --help:

  python -m keras_dcgan.fit       train on a data set
  python -m keras_dcgan.sample    draw pictures from a trained generator
  python -m keras_dcgan.evaluate  measure how good its pictures are
"""

if __name__ == "__main__":
    print(COMMANDS, end="")
