// Draws pictures with an exported generator on iOS.
//
// Add the package https://github.com/google-ai-edge/LiteRT, branch release/2.3.0, product LiteRT, and the file
// generator-int8.tflite to the app's target.
//
// This follows the public sources of the package; it was not resolved, compiled or run here.

import Foundation
import LiteRT

/// Draws pictures; use it from one thread at a time.
final class Digits {
  private static let sample = 2  // the number of the signature

  private let model: CompiledModel
  private let inputs: [TensorBuffer]
  private let outputs: [TensorBuffer]

  init() throws {
    guard let path = Bundle.main.path(forResource: "generator-int8", ofType: "tflite") else {
      throw CocoaError(.fileNoSuchFile)
    }
    let options = try Options()
    try options.setHardwareAccelerators([.cpu])
    model = try CompiledModel(filePath: path, environment: try Environment(), options: options)
    inputs = try model.createInputBuffers(signatureIndex: Self.sample)
    outputs = try model.createOutputBuffers(signatureIndex: Self.sample)
  }

  /// Picture `number` of `seed`: size * size * channels values, row by row.
  ///
  /// `label` is the number of a class, if the file has classes: its metadata.json names them. Pictures of the same seed
  /// and number are in one handwriting.
  func draw(seed: Int32, number: Int32, label: Int32 = 0) throws -> [UInt8] {
    try inputs[0].write([seed, number])
    if inputs.count > 1 { try inputs[1].write([label]) }
    try model.run(inputs: inputs, outputs: outputs, signatureIndex: Self.sample)
    return try outputs[0].read()
  }
}
