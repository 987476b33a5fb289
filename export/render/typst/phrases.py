# ruff: noqa: E501, RUF001 - Japanese copy is wide and full of full-width marks
# fmt: off
"""The words of the third renderer: shop notices by subject. None of them is in `phrases` or `browser_phrases`."""

from dataclasses import dataclass

import numpy as np

Copy = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]


@dataclass(frozen=True)
class Notice:
    """A notice before it is set: headline parts (a line break may fall between them), lines, a shop's name."""

    subject: str
    headline: tuple[str, ...]
    kicker: str
    lines: tuple[str, ...]
    shop: str
    japanese: bool

    @property
    def title(self) -> str:
        """The headline on one line."""
        return ("" if self.japanese else " ").join(self.headline)


JAPANESE: Copy = {
    "closed": (
        (
            "冬休みの|お知らせです", "GW中の|出荷について", "しばらく|お休みします", "{m}月の|休業カレンダー", "産休のため|一時休店",
        ),
        (
            "{m}/{d}から{m}/{d2}までショップをお休みします。", "お休み中もカートはご利用いただけます。", "お休み明けから注文順に出荷いたします。",
            "メッセージのお返事は休み明けになります。", "最終出荷は{m}/{d}の午前受付分までです。", "いつも当店を見てくださり感謝しております。",
            "再開日はインスタグラムでお伝えします。", "ご迷惑をおかけして申し訳ありません。",
        ),
    ),
    "delay": (
        (
            "お届けが|遅れています", "出荷まで|{n}週間いただきます", "宅配便の|遅れについて", "発送は|毎週{w}曜です", "出荷目安の|変更",
        ),
        (
            "ご注文が集中し、制作が追いついておりません。", "おひとつずつ手作業でお作りしています。", "お急ぎの方は必ず事前にお声がけください。",
            "積雪地域への集荷が止まっています。", "追跡番号は出荷の翌日に反映されます。", "順番にお作りしておりますので今しばらくお待ちください。",
            "ポスト投函のため日時指定はできません。", "匿名配送に対応しています。", "出荷までの目安：{n}〜{n2}日（土日を除く）",
        ),
    ),
    "read": (
        (
            "お取引の前に|ご一読ください", "はじめての|お客様へ", "購入前の|お約束ごと", "必ず|お目通しください", "当店の|ルール",
        ),
        (
            "古着にご理解のある方のみお願いいたします。", "色の見え方は端末によって変わります。", "サイズ違いによる返送はご容赦ください。",
            "お値段の交渉は{n}点以上からお受けします。", "専用ページ作成後は{n}日以内にお手続きください。", "コメント中でも先に決済された方を優先します。",
            "簡易包装、リサイクル資材で梱包します。", "受け取り評価は中身をお確かめのうえでお願いします。", "24時間以内に返信がない場合はキャンセル扱いとします。",
            "着画や追加写真はお断りしています。", "小さな傷や汚れの見落としはご了承ください。", "製造元からの直送品もございます。",
        ),
    ),
    "sale": (
        (
            "春の|在庫一掃市", "まとめて|おトク市", "{n}点目から|{p}%引き", "週末だけの|値下げ祭り", "ラスト|{n}日間", "感謝の|ワンコイン市",
            "夏もの|最終価格",
        ),
        (
            "カート内で自動的に割引されます。", "{m}/{d}の23:59まで。", "お一人様{n}点まで。", "割引後の返品はお受けできません。",
            "会員登録でさらに{y}円引き。", "人気カラーはお早めに。", "対象は赤い札の付いた品だけです。", "他のキャンペーンとの併用は不可です。",
        ),
    ),
    "order": (
        ("ご注文から|お届けまで", "セミオーダーの|手順", "お名入れの|頼み方", "購入は|かんたん{n}ステップ"),
        (
            "ご希望の色と大きさを選ぶ", "メッセージ欄に刻印したい文字を書く", "お見積りを確認して決済する", "完成写真をお送りします", "{n}日前後でポストに届きます",
            "到着後に受取ボタンを押して完了", "生地サンプルの番号を知らせる", "仕上がりイメージを承認する",
        ),
    ),
    "custom": (
        (
            "{s}様|お取り置き中", "オーダー品|お支払い用", "追加送料|決済ページ", "{s}様|ご確認用", "差額分の|お支払い",
        ),
        (
            "ご本人様以外は決済なさらないでください。", "ご注文内容：ピアス金具をイヤリングへ変更", "合計 {y}円（箱代込み）",
            "{m}/{d}までにお手続きがない場合は取り消します。", "内容に違いがあればお知らせください。", "生地A-{n}、裏地あり、仕上がり{n2}cm",
        ),
    ),
    "thanks": (
        (
            "お買い上げ|ありがとうございました", "出会いに|感謝をこめて", "ご縁を|ありがとう", "フォロワー様|{k}人達成", "開店{n}周年を|迎えました",
        ),
        (
            "ひとつひとつ心をこめて包みました。", "また遊びにいらしてください。", "感想をお聞かせいただけると励みになります。", "次に使える割引券を同封しました。",
            "写真を撮ったら#{u}で教えてくださいね。", "末永くお使いいただけますように。",
        ),
    ),
    "account": (
        (
            "新しい|アカウントへ移ります", "インスタ|はじめています", "なりすましに|お気をつけて", "ショップ名が|変わりました", "店主の|ごあいさつ",
        ),
        (
            "旧アカウントは{m}月末に閉じます。", "当店から電話番号をうかがうことはありません。", "新作はストーリーズで先にお見せしています。",
            "@{u} が正しい名前です。", "これからも変わらずよろしくお願いします。", "フォローはそのままで大丈夫です。", "怪しいDMは開かずに通報してください。",
        ),
    ),
    "restock": (
        (
            "おまたせしました|再販スタート", "次の販売は|{m}/{d} {h}時", "売り切れ|次回は{m}月", "あのバッグが|帰ってきます", "再販リクエスト|受付中",
        ),
        (
            "{h}:00からカートが開きます。", "数は{n2}点、増産の予定はありません。", "ハートを押すと入荷通知が届きます。",
            "お支払い期限を過ぎた分は再び販売します。", "色はキャメルとチャコールの二色です。", "予告なく終わることがあります。",
        ),
    ),
    "event": (
        (
            "手しごと市に|出ます", "ポップアップ|ストア", "{m}.{d}|春のマルシェ", "一日だけの|実店舗", "ワークショップ|参加者募集",
        ),
        (
            "会場：駅前広場テントC-{n}", "{h}:30〜{h2}:00　雨の日は中止", "キャッシュレス払いのみ", "オンライン販売は{m}/{d}から",
            "手ぶらでお越しいただけます", "ノベルティを先に並んだ{n2}名様へ", "入場は無料です",
        ),
    ),
    "terms": (
        (
            "配送と|お支払いのきまり", "交換を|ご希望の方へ", "お手入れと|取り扱い", "保証の|範囲について", "領収書と|インボイスについて",
        ),
        (
            "第{n}条　お届け先の変更は出荷前に限り承ります。", "初期の不具合は無償で直します。", "水ぬれと色移りは対象になりません。",
            "手洗いし、日陰に平らに干してください。", "コンビニ払いの期限は{n}日間です。", "振込の手数料はお客様のご負担です。", "離島へは追加で{y}円を頂戴します。",
            "未開封に限り{n}日間は交換できます。", "登録番号 T{k}{k}{k}", "お客様の情報は出荷の目的だけに使います。",
        ),
    ),
}

ENGLISH: Copy = {
    "closed": (
        ("Gone|Fishing", "Shop break|{mon} {d}–{d2}", "We're away|for a while", "Studio holiday|hours", "Taking|a breather"),
        (
            "Our little studio shuts its doors on {mon} {d}.", "You can still place orders, they leave when we return.",
            "Replies may take a few days longer than usual.", "Last parcels go out on the morning of {mon} {d}.",
            "See you on the other side!", "Watch our stories for the reopening date.",
        ),
    ),
    "delay": (
        ("Running|a bit late", "Processing time:|{n} weeks", "Post office|backlog", "Snowed in", "Your parcel|is on its way"),
        (
            "Every piece is cut and sewn after you order.", "Carriers are collecting only twice this week.",
            "Tracking updates may appear after a day.", "Need it sooner? Write to us before checkout.",
            "Customs can add {n} to {n2} days abroad.", "We appreciate you bearing with us.",
        ),
    ),
    "read": (
        ("Before|you order", "House|rules", "Kindly|read this", "A note to|new customers", "Good to know|first"),
        (
            "Vintage pieces show signs of their age.", "Screens differ, so will the shade you receive.",
            "Offers are welcome on {n} pieces or more.", "I post within {n} days of payment.", "Please ask for more pictures first.",
            "Unpaid holds are released after {n2} hours.", "Packed in recycled boxes.", "I do not accept swaps.",
            "Check the centimetres, not the label.",
        ),
    ),
    "sale": (
        ("{p}%|off everything", "Spring|clear-out", "Take {n}|pay for {n}", "Midnight|markdown", "Final|reductions", "Sample|sale", "Save|${y2}"),
        (
            "Discount applied in your basket.", "Ends Sunday at midnight.", "One use per household.",
            "Not valid with other codes.", "Selected colours only.", "When it's gone, it's gone.",
        ),
    ),
    "order": (
        ("How it|works", "Ordering in|{n} easy steps", "Make it|yours", "Personalise|your piece"),
        (
            "Pick your fabric and size", "Write the name in the note box", "Approve the digital proof",
            "We sew and send pictures", "It lands in your letterbox", "Leave us a star or five", "Choose a thread colour",
        ),
    ),
    "custom": (
        ("Listing for|{name}", "Balance|payment", "Extra postage|listing", "Held for|{name}", "Deposit|{n} of 2"),
        (
            "Only for the person named above.", "Total ${y2}.00 including box", "Ring size {n}, engraved inside",
            "Please pay by {mon} {d}.", "Tell me if anything looks wrong.", "Other buyers will be refunded.",
        ),
    ),
    "thanks": (
        ("Made with|love", "You made|my day", "{k} sales!", "Grateful|for you", "Thanks a|bunch"),
        (
            "Wrapped by hand, just for you.", "Tag #{u} so we can see it.", "Come back soon.",
            "A small discount is inside your box.", "Reviews keep a small shop alive.",
        ),
    ),
    "account": (
        ("We have|a new name", "Find us on|Instagram", "Beware of|copycats", "Meet|the maker", "Moving to|a new page"),
        (
            "The old page closes at the end of {mon}.", "We never ask for your card by message.", "@{u} is our one true handle.",
            "First looks are shared in stories.", "Nothing else is changing.", "Report strange messages, please.",
        ),
    ),
    "restock": (
        ("They're|back", "Shop update|{mon} {d}", "Next drop|{h} am", "Sold through|again", "Waitlist|open"),
        (
            "Tap the heart for an alert.", "Only {n2} made, never repeated.", "Carts open at {h}:00 sharp.",
            "Two colours: oat and ink.", "Unpaid carts return to the shelf.",
        ),
    ),
    "event": (
        ("Makers'|market", "Pop-up|weekend", "Open|studio", "Class:|learn to knit", "{mon} {d}|street fair"),
        (
            "Stall C{n}, Station Square", "{h}:30 to {h2}:00, rain or shine", "Cards only, no cash",
            "Free entry", "First {n2} visitors get a tote", "Online from {mon} {d}",
        ),
    ),
    "terms": (
        ("Shipping &|payment", "Caring for|your knit", "Exchanges", "Our|guarantee", "The small|print"),
        (
            "Section {n}. Addresses can be changed until dispatch.", "Faulty goods are mended at our cost.",
            "Water marks and dye transfer are not covered.", "Hand wash and dry flat in the shade.",
            "Remote islands cost ${n} extra.", "Unopened goods may be swapped for {n2} days.",
            "We hold your data only to post your order.", "Wire fees are yours to pay.",
        ),
    ),
}  # fmt: skip

MEASURES_JA = ("首まわり", "ゆき", "前丈", "ウエスト", "股上", "股下", "わたり", "ヒップ", "袖口", "足長")
MEASURES_EN = ("Neck", "Hem", "Front", "Waist", "Rise", "Inseam", "Thigh", "Hip", "Cuff", "Foot")
GOODS_JA = ("リネンエプロン", "がま口（小）", "くるみボタン3個", "手編みマフラー", "名入れキーホルダー", "布マスクケース", "ブックカバー",
             "箱・紙袋", "裾直し", "速達オプション", "ピアス金具変更", "スマホショルダー")
GOODS_EN = ("Linen apron", "Coin purse", "Hand-knit scarf", "Name tag", "Book sleeve", "Gift box", "Express post",
             "Clasp swap", "Tote, large", "Candle 180 g", "Hem repair")
CHAT_JA = ("こんにちは！", "まだ在庫はありますか？", "お問い合わせありがとうございます。", "はい、ございます", "いつ届きますか？", "明日出します！",
            "おまけも入れておきますね", "助かります", "よろしくお願いします", "少しお安くなりませんか", "すみません、そのままで", "了解です")
CHAT_EN = ("Hi! Is this still for sale?", "It is :)", "Could you ship today?", "Tomorrow at the latest", "Lovely, thanks",
            "Would you take a bit less?", "Sorry, price is firm", "OK, paying now", "On its way!", "Which colour is it?")
CALLS_JA = ("ここから友だちになる", "カメラをかざしてね", "お会計はQRで", "お品書きを見る", "予約はこのコードから", "作家ページへ",
             "割引券を受け取る", "動画で作り方を見る", "フォローで5%引き", "送金用コード", "Wi-Fiにつなぐ", "感想を送る")
CALLS_EN = ("Point your camera here", "Pay with your phone", "See the menu", "Say hi on Instagram", "Claim your treat",
             "Book a table", "Guest network", "Watch how it's made", "Leave a review", "Join our list")
SUBJECTS = tuple(JAPANESE)
_KICKERS_JA = (
    "大切な|お願い", "SHOP NEWS", "ごあいさつ", "店主より", "news letter", "お得情報", "for you", "information",
    "CHECK!", "ご確認を",
)
_KICKERS_EN = ("dear customer", "shop news", "hello there", "small batch", "since 201{n}", "no. {n2}", "est. 201{n}", "update", "a little note")  # fmt: skip
_SHOPS_JA = (
    "こもれび雑貨店", "糸と布 ちくちく", "古着屋ナナイロ", "アトリエ月白", "うみねこ堂", "ひだまり工房", "くるみボタン舎",
)
_SHOPS_EN = (
    "Moss & Thimble", "OATMEAL STUDIO", "Wren Street Goods", "paper kite co.", "Salt Barn Vintage",
    "FERN + FOX",
)
_PEOPLE_JA, _PEOPLE_EN = (
    ("みかん", "ゆう", "sora", "なお", "K.M", "もち子", "りんりん"),
    ("Abigail", "Tom R.", "Priya", "M. Olsen", "Jo"),
)
_ACCOUNTS = ("chikuchiku_ito", "moss.thimble", "nanairo_furugi", "umineko_do", "wrenstreet", "oatmeal.std")
_MONTHS = ("Jan", "Feb", "March", "April", "May", "June", "July", "Aug", "Sept", "Oct", "Nov", "Dec")


# fmt: on
def pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    """One of `choices`, at random."""
    return choices[int(rng.integers(len(choices)))]


def filled(template: str, rng: np.random.Generator) -> str:
    """`template` with its blanks (days, prices, names) filled in."""
    day, hour = int(rng.integers(1, 26)), int(rng.integers(9, 12))
    return template.format(
        p=pick(rng, ("10", "15", "20", "25", "30", "40", "50", "70")), n=int(rng.integers(2, 8)), n2=int(rng.integers(8, 31)),
        m=int(rng.integers(1, 13)), d=day, d2=day + int(rng.integers(2, 5)), w="月火水木金"[int(rng.integers(5))],
        mon=pick(rng, _MONTHS), h=hour, h2=hour + int(rng.integers(5, 9)), y=f"{int(rng.integers(3, 90)) * 110:,}",
        y2=int(rng.integers(5, 120)), k=int(rng.integers(1000, 9999)), u=pick(rng, _ACCOUNTS),
        s=pick(rng, _PEOPLE_JA), name=pick(rng, _PEOPLE_EN),
    ) if "{" in template else template  # fmt: skip


def notice_of(rng: np.random.Generator, japanese: bool, subject: str) -> Notice:
    """A notice on `subject` (one of `SUBJECTS`) with all its lines in a random order."""
    headlines, lines = (JAPANESE if japanese else ENGLISH)[subject]
    order = rng.permutation(len(lines))
    headline = filled(pick(rng, headlines), rng)
    return Notice(
        subject=subject,
        headline=tuple(headline.split("|")),
        kicker=filled(pick(rng, _KICKERS_JA if japanese else _KICKERS_EN), rng).replace("|", ""),
        lines=tuple(filled(lines[int(i)], rng) for i in order),
        shop=pick(rng, _SHOPS_JA if japanese else _SHOPS_EN),
        japanese=japanese,
    )


def every_phrase() -> set[str]:
    """All headlines and lines, unfilled, for a comparison with other renderers' words."""
    found: set[str] = set()
    for language in (JAPANESE, ENGLISH):
        for headlines, lines in language.values():
            found |= {headline.replace("|", "") for headline in headlines} | set(lines)
    return found
