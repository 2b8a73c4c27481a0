"""From a picture to a uint8 array: named data sets, folders of pictures, array files, decoded copies.

The door is `source.open_data`, which opens what a run trains on by its name or path. Nothing here loads TensorFlow.
"""

from keras_dcgan.datasets.named import DatasetUnavailable, load_images, load_labels

__all__ = ["DatasetUnavailable", "load_images", "load_labels"]
