package android.content

import android.content.res.AssetManager

open class Context {
  open val assets = AssetManager()
}
