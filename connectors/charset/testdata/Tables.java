import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.*;

/** Prints what Java decodes each code of a charset to: "code character", both in hexadecimal; nothing if it is invalid. */
public class Tables {
    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, false, "US-ASCII");
        CharsetDecoder decoder = Charset.forName(args[0]).newDecoder();
        StringBuilder text = new StringBuilder();
        for (int a = 0x80; a <= 0xff; a++) {
            code(decoder, text, a);
            for (int b = 0x40; b <= 0xff; b++) code(decoder, text, a, b);
        }
        if (args[0].equals("GB18030"))
            for (int a = 0x81; a <= 0xfe; a++) for (int b = 0x30; b <= 0x39; b++) for (int c = 0x81; c <= 0xfe; c++) for (int d = 0x30; d <= 0x39; d++)
                code(decoder, text, a, b, c, d);
        out.print(text);
        out.flush();
    }

    static void code(CharsetDecoder decoder, StringBuilder text, int... code) {
        byte[] bytes = new byte[code.length];
        for (int i = 0; i < code.length; i++) bytes[i] = (byte) code[i];
        try {
            String s = decoder.decode(ByteBuffer.wrap(bytes)).toString();
            if (s.codePointCount(0, s.length()) != 1) return;
            for (byte b : bytes) text.append(Character.forDigit((b >> 4) & 15, 16)).append(Character.forDigit(b & 15, 16));
            text.append(' ').append(Integer.toHexString(s.codePointAt(0))).append('\n');
        } catch (CharacterCodingException e) {
            // invalid
        }
    }
}
