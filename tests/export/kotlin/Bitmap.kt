package android.graphics

class Bitmap private constructor(val pixels: IntArray) {
  enum class Config { ARGB_8888 }

  companion object {
    @JvmStatic
    fun createBitmap(colors: IntArray, width: Int, height: Int, config: Config): Bitmap {
      require(colors.size == width * height)
      return Bitmap(colors)
    }
  }
}
