"""The .tflite file: its parts as plain values, read from and written to the flatbuffer without TensorFlow."""
