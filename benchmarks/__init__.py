"""Programs that measure; each says in its first line what."""

# The settings of the preset `quick` that the data decide, where there are none.
WITHOUT_DATA = {"augment": "off", "r1_weight": 1.0, "upsampling": "transposed"}
