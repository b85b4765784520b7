import java.nio.file.Path;
import org.ofdrw.layout.OFDDoc;
import org.ofdrw.layout.element.Paragraph;
import org.ofdrw.layout.element.canvas.Canvas;
import org.ofdrw.layout.element.canvas.FontSetting;

/** Draws a page with ofdrw: shapes, a dashed frame, turned text, a clipped picture. */
public class Drawing {
    public static void main(String[] args) throws Exception {
        try (OFDDoc document = new OFDDoc(Path.of(args[0]))) {
            document.add(new Paragraph("画布").setFontSize(8d));
            Canvas canvas = new Canvas(140d, 100d);
            canvas.setDrawer(page -> {
                page.setFillColor(0, 100, 200);
                page.fillRect(5, 5, 40, 20);
                page.setStrokeColor(255, 0, 0);
                page.setLineWidth(1d);
                page.beginPath();
                page.arc(80, 40, 20, 0, 270);
                page.stroke();
                page.save();
                page.rotate(20);
                page.setFont(FontSetting.getInstance(10d));
                page.fillText("旋转文字", 70, 30);
                page.restore();
                page.setGlobalAlpha(0.3);
                page.fillRect(30, 10, 40, 40);
                page.setGlobalAlpha(1.0);
                page.beginPath();
                page.rect(100, 50, 20, 20);
                page.clip();
                page.drawImage(Path.of(args[1]), 95, 45, 42, 42);
            });
            document.add(canvas);
        }
    }
}
