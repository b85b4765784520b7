import java.awt.Font;
import java.awt.font.FontRenderContext;
import java.awt.font.GlyphVector;
import java.io.File;

/** Prints, for each character of a text, what Java reads from a font: whether it can show it, and the glyph's box and advance. */
public class Subset {
    public static void main(String[] args) throws Exception {
        Font font = Font.createFont(Font.TRUETYPE_FONT, new File(args[0])).deriveFont(1000f);
        FontRenderContext context = new FontRenderContext(null, true, true);
        System.out.println(font.getFamily());
        for (int c : args[1].codePoints().toArray()) {
            GlyphVector glyphs = font.createGlyphVector(context, new String(Character.toChars(c)));
            var box = glyphs.getGlyphOutline(0).getBounds2D();
            System.out.printf("%d %b %.0f %.0f %.0f %.0f %.0f%n", c, font.canDisplay(c), glyphs.getGlyphMetrics(0).getAdvance(), box.getMinX(), -box.getMaxY(), box.getMaxX(), -box.getMinY());
        }
    }
}
