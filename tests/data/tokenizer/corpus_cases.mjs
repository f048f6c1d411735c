// The corpus of the tokenizer tests, as code: invisible and odd characters are easier to review as
// escapes. make_references.mjs writes it to corpus.json.

const scripts = [
  "The quick brown fox jumps over the lazy dog. It's Friday, and they've won!",
  "Où est-ce qu'on mange du bœuf à Noël? Ça coûte 12,50 € chez l'épicier.",
  "Żółć gęślą jaźń; Příliš žluťoučký kůň úpěl ďábelské ódy; İstanbul'da ığdır",
  "Tiếng Việt: Cửa hàng bán phở ở đường Nguyễn Huệ rất đông khách.",
  "Съешь же ещё этих мягких французских булок, да выпей чаю. Їжак і ґанок.",
  "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία· ᾧ δὲ ἀνήρ, ὦ Σώκρατες;",
  "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر، ٢٠٢٤ — وَالسَّلَامُ عَلَيْكُمْ",
  "دانش‌آموزان می‌خوانند: پژوهش گچ ۱۲۳۴",
  "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה; שָׁלוֹם עֲלֵיכֶם, צה\"ל",
  "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश हुआ। क्षत्रिय १२३",
  "আমার সোনার বাংলা, আমি তোমায় ভালোবাসি। ৪৫৬",
  "தமிழ் மொழி மிகவும் பழமையானது; யாதும் ஊரே யாவரும் கேளிர்",
  "తెలుగు భాష, ಕನ್ನಡ ನುಡಿ, മലയാളം അക്ഷരം, ગુજરાતી, ਪੰਜਾਬੀ, සිංහල",
  "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน ๑๒๓",
  "កាន់តែពិសេសអាចខលចេញ ພາສາລາວ မြန်မာဘာသာ བོད་སྐད་",
  "我能吞下玻璃而不伤身体。他說：「這是繁體中文」，3.14159和一万两千三百。",
  "いろはにほへと ちりぬるを。カタカナ、ﾊﾝｶｸ、東京タワーへ行きました！①②③",
  "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. ㅋㅋㅋ",
  "ვეპხის ტყაოსანი შოთა რუსთაველი; ՀԱՅԵՐԵՆ հայերեն և ուրիշներ",
  "ለምድር ለሰማይ የማይበቃ ሰው አማርኛ ፩፪፫ ᏣᎳᎩ ᚠᚢᚦᚨᚱᚲ 𐌰𐌱𐌲 𓀀𓁐 ⠃⠗⠇",
  "Ελληνικά and русский и עברית و العربية 与 中文 と 日本語 mixed, 100% of it",
];

const emoji = [
  "😀 smile 😶‍🌫️ ✅ 🦙🦙 👩‍👩‍👧‍👦👨🏿‍🚀 ✊🏽 🏳️‍🌈🏴‍☠️ 🇩🇪🇯🇵🇧🇷 1️⃣#️⃣ ☎︎☎️ ❤️‍🔥",
  "\u{1F468}\u200D\u{1F469} \u{1F3FB}\u{1F3FC} \u200D \uFE0F alone, \u{E0067}\u{E0062}\u{E007F} tags",
  "👍👍👍👍👍👍👍👍👍👍👍👍 :-) ¯\\_(ツ)_/¯ (╯°□°）╯︵ ┻━┻",
];

const whitespace = [
  "", " ", "  ", "   ", "\t", "\n", "\n\n", "\n\n\n\n\n", "\r\n", "\r\n\r\n", " \n", "\n ", "\t\n\t", "\r",
  " leading", "trailing ", "  two  inside  ", "a\tb\t\tc", "line one\nline two\r\nline three\rline four\n",
  "para\n\n  indented\n\n\n\tdeep   \n   \n x", "no\u00A0break\u00A0\u00A0space \u00A0 mixed",
  "ideographic\u3000space\u3000\u3000twice", "en\u2002em\u2003thin\u2009hair\u200Azero\u200Bwidth\u2060joiner",
  "ogham\u1680mark mongolian\u180Evowel nnbsp\u202Fmath\u205Fspace", "line\u2028sep para\u2029sep nel\u0085next",
  "vt\u000Bff\u000Cend", "bom\uFEFFinside", "\uFEFFbom first", "          ten", "a          b", " ".repeat(130) + "x",
  "\n".repeat(70), "\t".repeat(40) + "}", " \t \t \n\n \t\r\n \u00A0\n x", "x \u3000\n\u3000 y", "end with spaces     ",
  "▁ already ▁▁marked▁", "▁", "▁▁▁", "Ġ and Ċ are letters too, Ġ",
];

const code = [
  "int main(int argc, char** argv) {\n  for (int i = 0; i < 10; ++i) {\n    printf(\"%d\\n\", i);\n  }\n\treturn 0;\n}\n",
  "def f(x: int) -> str:\n    return f'{x:>08.3f}' if x != 0 else \"zero\"  # comment\n\n\nclass A(B):\n        pass\n",
  "SELECT t.*, COUNT(DISTINCT u.id) FROM t LEFT JOIN u ON t.id=u.t_id WHERE u.x IS NOT NULL;--x",
  "<div class=\"a b\" id='c'>&nbsp;&lt;p&gt;</div><!-- x --><br/>",
  "{\"key\": [1, 2.5e-10, null, true], \"esc\": \"\\u00e9\\n\"}", "https://example.com/a/b?q=1&r=%20#frag user@example.com",
  "$ grep -rn 'foo\\|bar' ~/src | awk '{print $1}' > /dev/null 2>&1", "camelCase PascalCase snake_case SCREAMING_CASE kebab-case x86_64 HTTPServer iPhoneXS",
  "// path/to/file.cc:123:45: error: expected ';'\n/\n//\n///x\n /\r\n", "\\begin{align} \\frac{a_1}{b^{2}} &= \\sum_{i=0}^{\\infty} x_i \\\\ \\end{align}",
  "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β = ¬(¬α ∨ β), ∮E⋅da = Q, n → ∞", "a+=b;c<<=d>>>e!==f??g?.h=>i::j->k",
];

const numbers = [
  "3", "33", "333", "3333", "33333", "333333", "3333333", "1234567890123456789", "3.14159 1,000,000.00 1e-9 0x1F 1/2 ½ ² Ⅷ ①",
  "١٢٣٤ १२३४ ๑๒๓๔ ۱۲۳۴ 〇一二三 𝟙𝟚𝟛", "2024-02-29T12:34:56Z +49 (0)30 12345-67 v1.2.3-rc4 50% $9.99 €5 100°C",
  "a1b2c3 1a2b3c abc123def456", "1 2 3 4 5 6 7 8 9 10 11 12",
];

const contractions = [
  "I'm you're he's she'd we'll they've can't it's o'clock 'tis 'twas y'all'd've",
  "I'M YOU'RE HE'S SHE'D WE'LL THEY'VE CAN'T It'S", "it\u2019s don\u2019t we\u2019ll", "it'\u017F the'\u017Fe long s, \u212Aelvin, '\u017F",
  "''' ''s 's's 're're 'x 'S'T'Re'vE'm'LL'd", "rock'n'roll l'eau d'été qu'il", "'s", "'", "x's", " 's 't 'll",
];

const odd = [
  "\u0000", "nul\u0000inside\u0000", "\u0001\u0002\u0003\u001B[31mred\u001B[0m\u0007\u0008\u007F", "\u0080\u0081\u009F c1 controls",
  "a".repeat(300), "=".repeat(200), "-".repeat(65) + ">" + "#".repeat(33), "啊".repeat(90), "ab".repeat(150), "😀".repeat(30),
  "AAAAaaaaAAAA", "éÉ".repeat(40), "!".repeat(64) + "?".repeat(64), "hahahahahahahahahahaha noooooooooooooooooo",
  "caf\u00E9 nfc, cafe\u0301 nfd, \u1E9B\u0323 \u017F\u0323\u0307", "A\u030A \u212B \u00C5 ang\u0301strom", "\uAC00\u11A8 \u1100\u1161\u11A8 각 jamo",
  "Z\u0351\u036B\u0343\u036A\u0302\u036B\u033D\u034F\u0334\u0319\u0324\u031E\u0349\u035A\u032F\u031E\u0320\u034DA\u036B\u0357\u0334\u0362", "\u0301 mark first \u0301\u0302", "q\u0307\u0323 q\u0323\u0307 reordered",
  "ﬁ ﬂ ﬀ ligatures Ⅳ ㎏ ㍿ ﷺ １２３ＡＢＣ ｶﾞ", "ß ẞ ŉ ǰ ΐ İ ı Ǆ ǅ ǆ", "\u202Ertl override\u202C \u200Fmark\u200E \u2066iso\u2069",
  "soft\u00ADhyphen zero\u200Cnon\u200Djoiner", "\uFFFD replacement \uFFFD\uFFFD", "\uE000\uF8FF private \u{F0000}\u{10FFFD}", "\uFFFE\uFFFF\u{1FFFF} noncharacters",
  "\u{20000}\u{2A6D6}\u{2F800} rare han", "𝕳𝖊𝖑𝖑𝖔 𝓦𝓸𝓻𝓵𝓭 ｆｕｌｌ ⓒⓘⓡⓒⓛⓔ 🅂🅀", "\u0378\u0379 unassigned", "x\u20DD\u20E3 enclosing", "©®™§¶†‡•…‰′″‹›«»„“”‚‘’–—",
  "\u00B2\u00B9 \u00AA\u00BA \u02B0\u02C8 modifier letters", "ǅungla ǈ ᾈ titlecase Aǅb", "AbCdEfGh ABCdef abcDEF ABC1def2", "ÀÉÎõü ÀÉ éà Éa aÉ ΑΒγδ АБвг",
  "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis Donaudampfschifffahrtsgesellschaftskapitän",
];

const special = [
  "<s>", "</s>", "<unk>", "a <s> b </s> c", "<s><s></s>", "<s>Hello</s>\nWorld<unk>!", " <s> spaced </s> ",
  "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", "<|end_of_text|> <|reserved_special_token_5|>",
  "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n", "<think>\nhm\n</think>\n\n<tool_call>{}</tool_call>",
  "<|endoftext|>", "x<|endoftext|>y", "<|endofprompt|><|endoftext|>", "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>", "<|start_story|>Once<|end_story|>",
  "Once <|start_story|> again", "<|im_start|", "|im_end|>", "<|im_<|im_end|>", "<|eot_id|", "<0x0A>", "<0x41><0xE2><0x96><0x81>", "[INST] <<SYS>> hi <</SYS>> [/INST]", "<s", "s>", "<|<|endoftext|>|>",
];

const stories = [
  "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.",
  "Tim had a red ball. One day he", "\"Hi, Mr. Ben,\" said Tim. \"What are you doing?\"\nThe end.",
];

export const cases = {scripts, emoji, whitespace, code, numbers, contractions, odd, special, stories};

// Bytes that are not UTF-8 (or are), as hexadecimal digits.
export const byteCases = [
  "ff", "fe", "80", "bf", "c0", "c080", "c1bf", "c3", "c328", "c3a9", "61ff62", "e2", "e282", "e28261", "e282ac", "e28228", "e2e282ac",
  "eda080", "edbfbf", "ed9fbf", "e08080", "e09fbf", "e0a080", "f0", "f09f", "f09f98", "f09f9880", "f09f9861", "f0808080", "f08fbfbf", "f4908080",
  "f48fbfbf", "f5808080", "f8808080", "f888808080", "fc", "fffefdfc", "8080808061", "68690aff", "ff0a6869", "20ff20", "2020ff", "efbfbd", "efbfbe",
  "d7a9d6", "e4bda0e5a5", "e4bda0e5a5bde4", "f09f98f09f9880", "c3c3a9", "616263e9646566", "00ff00", "f09f91a8e2808d", "e29681ff", "ffe29681",
];
