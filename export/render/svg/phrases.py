# ruff: noqa: E501, RUF001 - Japanese copy is wide and full of full-width marks
"""The words of the SVG notices: what small shops write, by subject, in Japanese and English.

`{...}` are filled by chance; `|` is a place where a headline may break.
"""

from dataclasses import dataclass

import numpy as np

# subject: (headlines, lines below them, sentences)
Words = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
JAPANESE: dict[str, Words] = {
    "closed": (
        ("夏季休暇の|おしらせ", "年末年始の|発送について", "{m}月の|店休日", "臨時休業します", "GW中の営業日", "しばらく|おやすみします"),
        ("{d1} 〜 {d2}", "{d1}（土）〜{d2}（水）まで", "休み明けは{d2}から順次発送"),
        (
            "{d1}から{d2}まで発送業務をお休みいたします。", "お休み中もご注文は24時間受付しております",
            "期間中のメールは{d2}以降にまとめてお返事します", "{d1}の正午までにお支払いいただいた分は当日中に出荷します",
            "休業明けは混み合うため、お届けまで{n}日ほどみてください。", "定休日：毎週火曜・第3水曜",
            "急ぎの方は購入前にひとことお声がけください", "店主、充電してきます！",
        ),
    ),
    "shipping": (
        ("配送遅延の|おしらせ", "送料が|変わります", "発送までの|お日にち", "大雪による|お荷物の遅れ", "発送方法の変更", "まとめ買いで|送料無料"),
        ("お届けに{n}〜{k}日かかっています", "{d1}ご注文分より", "{yen}円以上のお買い上げで"),
        (
            "運送会社の値上げにともない、{d1}より送料を改定させていただきます。", "通常は入金確認後{n}営業日で投函します",
            "北海道・沖縄・離島へは別途{k}50円かかります", "ポストへのお届けなので時間帯はえらべません。",
            "追跡番号は発送メールに記載しています", "宅配ボックスをご希望の場合は備考欄へ", "厚さ3cmをこえる場合は宅急便になります",
            "天候により遅れることがございます。どうか余裕をもってご注文ください。", "ゆうパケット 全国一律{k}10円",
        ),
    ),
    "rules": (
        ("購入前に|かならずお読み|ください", "はじめての方へ", "プロフ必読", "お買い物の|きまりごと", "ご確認ください", "お取引について", "同意の上で|ご購入を"),
        ("読まずに購入された方のキャンセルはできません", "トラブル防止のためのお願い", "この商品は購入しないでください"),
        (
            "コメントなしの即購入OKです◎", "お値下げは{yen}円以上のお品のみご相談ください。", "素人採寸のため1〜2cmの誤差はお許しください",
            "自宅保管・ペットなし・喫煙者なし", "いいねだけの商品は予告なく削除します", "お取り置きは{n}日間まで",
            "ハンドメイド品のため、ひとつひとつ表情が異なります。", "モニター環境により色味が違って見えることがあります",
            "中古品ですので、神経質な方はお控えください。", "すり替え防止のため返品はお受けしておりません",
            "無言キャンセル・無言評価はお断りです", "受取評価は到着後{n}日以内にお願いします", "簡易包装（プチプチ＋OPP袋）でお送りします",
            "専用ページの横取りはご遠慮ください",
        ),
    ),
    "sale": (
        ("最大{pct}%OFF", "夏の|大感謝市", "タイムセール|開催中", "全品{pct}%引き", "本日23:59まで", "決算|売りつくし", "お得な券|お配り中"),
        ("{d1}よる8時スタート", "{d1} 20:00〜{d2} 9:59", "2点で{n}00円引き・3点で{k}00円引き"),
        (
            "なくなり次第おわります", "レジにて自動で割引になります", "クーポンコード：{code}", "再値下げしました！",
            "他の割引との併用はできません", "お一人さま{n}点かぎり", "セール品のお取り替えはご容赦ください。", "フォロワーさまだけの先行ご案内",
            "予約品・受注品は対象外です",
        ),
    ),
    "moved": (
        ("お店の|引っ越し", "新アカウントへ|移りました", "こちらは|更新停止中です", "屋号が変わります", "インスタ|はじめました"),
        ("あたらしいお店は {shop}", "検索：{handle}", "{d1}をもって閉店します"),
        (
            "今後の出品はすべて新しいページでおこないます。", "お手数ですがフォローのし直しをお願いします", "なりすましにご注意ください",
            "旧ページは{d2}に閉じる予定です", "ポイントは引き継げません。ごめんなさい。", "これまでの評価はプロフィールでご覧いただけます",
            "DMでのお取引はしておりません",
        ),
    ),
    "restock": (
        ("再入荷|しました", "次回販売日|決定", "{d1} 21時|再販", "新作、|まもなく", "おかげさまで|完売です", "ただいま|欠品中"),
        ("{d1} {h}:00〜", "前回は{n}分で完売しました", "おひとり様{n}点まで"),
        (
            "販売開始までこのページは購入できません。", "お気に入り登録で通知が届きます", "カートに入れただけでは確保されません",
            "次の入荷は{m}月下旬の見込みです", "色・サイズは当日ご案内します", "たくさんのご注文ありがとうございました！",
            "再販のご希望はコメント欄へお寄せください",
        ),
    ),
    "custom": (
        ("{name}様|専用", "オーダー|受付フォーム", "名入れの|ご相談", "セミオーダー|承ります", "おまとめ|ページ", "※サンプル画像"),
        ("ほかの方は購入できません", "受付枠 のこり{n}名さま", "ご注文からお届けまで約{k}週間"),
        (
            "ご希望のお色をお選びください", "文字数はアルファベット{k}文字以内です", "イメージ画像をお送りします（修正は{n}回まで）",
            "{d1}までにお手続きをお願いいたします。", "お見積もりは無料です", "合計 {yen}円（送料込）", "制作に入ったあとの変更はできません",
            "イニシャル刻印はプラス{k}00円です", "プレゼント包装もできます",
        ),
    ),
    "thanks": (
        ("ありがとう|ございます", "お買い上げの|皆さまへ", "祝・|販売{k}00件", "{n}周年を|むかえました", "心をこめて", "ご縁に感謝"),
        ("since 20{y}", "いつも {shop} をご利用いただき", "ささやかな贈り物をご用意しました"),
        (
            "レビューを書いてくださった方に{n}00円クーポンをさしあげます", "不備がありましたら評価の前にご連絡ください。",
            "手しごとの品をこれからもていねいにお届けします", "同封のカードをご覧ください", "またのお越しをお待ちしています",
            "次回つかえるコード：{code}", "みなさまの声が励みです",
        ),
    ),
    "payment": (
        ("お支払いの|しかた", "コンビニ決済の|期限", "領収書に|ついて", "インボイス|対応", "後払い|はじめます"),
        ("ご注文から{n}日以内に", "{d1}より順次", "登録番号は明細に記載"),
        (
            "クレジットカード／キャリア決済／銀行振込", "振込手数料はお客さまのご負担になります", "期限をすぎると自動で取り消されます",
            "領収書はマイページから発行できます。", "代引きは取り扱っておりません", "お名前が異なる場合はお知らせください",
            "分割・リボ払いは各カード会社へ",
        ),
    ),
    "event": (
        ("マルシェ|出店します", "手作り教室|生徒さん募集", "POP UP|{d1}から", "インスタライブ|やります", "福袋|ご予約開始"),
        ("{d1} 10:00〜16:00", "駅ビル2階 催事場", "定員{k}名・要予約"),
        (
            "入場無料・雨天決行", "準備のため通販は{d2}まで止まります", "当日は現金かPayPayでどうぞ", "会場ではお直しのご相談も承ります。",
            "詳細はハイライトをご覧ください", "持ち物：エプロン、持ち帰り袋", "数量限定{k}0セット",
        ),
    ),
}  # fmt: skip
ENGLISH: dict[str, Words] = {
    "closed": (
        ("We're on|a break", "Out of|office", "Studio closed", "Holiday cut-off|dates", "Shop is|asleep", "Back on {d2}"),
        ("{d1} to {d2}", "Nothing ships until {d2}", "See you in {n} weeks"),
        (
            "Place your order any time, parcels leave the studio again on {d2}.", "Last post before Christmas: {d1}, noon",
            "Messages will be answered when we're home", "Closed Mondays and every bank holiday", "Thanks for bearing with a one-woman shop!",
            "Expect up to {k} days while we catch up",
        ),
    ),
    "shipping": (
        ("Postage|update", "Please allow|extra days", "How we ship", "Courier|strike", "Free UK|delivery", "Where's my|parcel?"),
        ("Orders over ${k}0", "Currently {n}-{k} working days", "From {d1} onwards"),
        (
            "Made to order: ready to post in {n} to {k} days.", "Customs charges are the buyer's responsibility", "Tracked 48 is the default service",
            "We combine postage, just ask for an invoice", "Snow and strikes are slowing the mail in some areas.", "Wrong address? Tell us within {n} hours",
            "International letters may take {k} weeks", "PO boxes: untracked mail only",
        ),
    ),
    "rules": (
        ("Stop! Read|this page", "Before|you buy", "Shop rules", "House|policies", "Listing info", "Not for sale!|Info only", "PLEASE READ|DESCRIPTION"),
        ("By purchasing you agree to the below", "Do not buy this listing", "It saves us both a headache"),
        (
            "All sales final unless the item arrives broken.", "No holds without a deposit", "Bundle {n} and take {pct}% off at the till",
            "Reasonable offers welcome, lowballers blocked", "Colours differ a little from screen to screen", "Pet friendly, smoke free home",
            "Measurements are taken flat by hand, allow half an inch", "Message me with any worries before leaving feedback", "Digital file - nothing physical is posted",
            "Stock photos are not used in this shop", "I relist unpaid orders after {n} days.",
        ),
    ),
    "sale": (
        ("{pct}% off|everything", "24 hour|flash deal", "Moving house|clear-out", "Buy {n}|get one free", "Last day|of the sale", "SALE ends|Sunday", "Black Friday|is on"),
        ("{d1} - {d2} only", "Use {code} at checkout", "Starts 8pm tonight"),
        (
            "Discount comes off in your basket", "Gift cards not included", "No rain checks, first come first served", "One use per customer",
            "Stack it with free postage over ${k}0", "Vintage rail excluded", "Newsletter readers get in an hour early",
        ),
    ),
    "moved": (
        ("We have|moved", "New name,|same shop", "Find us|over here", "This page|is retired", "Follow the|new account"),
        ("{handle}", "From {d1} we're {shop}", "Search for {shop}"),
        (
            "Old links stop working on {d2}", "Your reviews came with us", "Everything new is listed at {handle}", "Beware of copycat profiles",
            "We never take payment by DM", "Come and say hello",
        ),
    ),
    "restock": (
        ("They're back|again", "All gone|for now", "Drop day|{d1}", "Nearly|here", "Restock|{d1}", "Pre-orders|open", "Shop update"),
        ("{d1} at {h}:00 GMT", "Limited to {k}0 pieces", "Gone in {n} minutes last time"),
        (
            "Tap the heart to get a ping", "A basket is not a reservation", "Max {n} per person so everyone has a go", "Next batch lands early next month",
            "Placeholder listing, cannot be bought yet", "Wait-list link in bio",
        ),
    ),
    "custom": (
        ("Reserved for|{name}", "Commissions|open", "Custom order|how-to", "Personalise|it", "Sample|listing", "Design|add-on"),
        ("{n} slots left for this month", "Only for the buyer we spoke to", "Turnaround about {k} weeks"),
        (
            "Pick a size and thread colour", "Send your wording in the notes box", "You'll get a proof within {n} days", "{n} tweaks included, then ${k} each",
            "Half up front, half when it's done", "Sorry, no rush jobs right now", "Personalised pieces can't come back",
        ),
    ),
    "thanks": (
        ("Thanks|a million", "{k}00 sales!", "You made|our day", "{n} years|of us", "A note from|the maker", "Small shop,|big thanks"),
        ("love, {shop}", "est. 20{y}", "Here's {pct}% off next time"),
        (
            "Every order makes us do a little dance.", "Something wrong? Write before you rate, we'll fix it", "Tag {handle} so we can see it at home",
            "Your code: {code}", "Packed by hand with far too much tape", "A five-star review means the world",
        ),
    ),
    "payment": (
        ("Ways|to pay", "Invoices|explained", "Prices|go up", "Card|reader down", "Pay|later"),
        ("As of {d1}", "Within {n} days please", "VAT included"),
        (
            "We take cards, bank transfer and gift vouchers", "No cheques, no cash in envelopes", "Unpaid baskets open up again after {n} days",
            "Materials cost more, so prices rise by {k}% in spring.", "Receipts are in your account page", "Use the same name as on the order",
        ),
    ),
    "event": (
        ("Pop-up in|the old mill", "Meet us at|the market", "Studio doors|open", "Live sale|tonight", "Workshop|places"),
        ("{d1}, 10 till 4", "Stall {k}, Old Town Hall", "Free entry, dogs welcome"),
        (
            "The web shop pauses while we pack the van", "Tea and cake on us", "Bring an apron, leave with a bowl", "Booking essential, {k} seats",
            "Cash or contactless", "If it rains we're indoors",
        ),
    ),
}  # fmt: skip
SUBJECTS = tuple(JAPANESE)
_SHOPS = (
    "kinari",
    "Atelier Nagi",
    "moku+ito",
    "Little Otter",
    "ハルノヒ",
    "Juniper & Ash",
    "北の手紙舎",
    "cotori工房",
    "Pebble Press",
)
_LATIN_SHOPS = tuple(shop for shop in _SHOPS if shop.isascii())
_CODES = ("AUTUMN24", "ARIGATO10", "HELLO-5", "MERCI", "TSUYU15", "OTTER20")
_NAMES_JAPANESE = ("まりも", "K.T", "yuzu", "さとみ", "ねこ丸", "あおぞら")
_NAMES_ENGLISH = ("Priya", "Mrs Dunne", "lou_82", "Tomasz", "Ellie")
_MONTHS = ("Jan", "Feb", "Mar", "April", "May", "June", "July", "Aug", "Sept", "Oct", "Nov", "Dec")
REGIONS = {
    True: ("北海道", "北東北", "関東・甲信", "東海・北陸", "関西", "中国・四国", "九州", "沖縄"),
    False: ("London", "UK mainland", "Highlands", "Ireland", "Europe", "USA", "Canada", "Elsewhere"),
}
LABELS = {
    True: {"notice": ("お知らせ", "ご案内", "重要", "ATTENTION", "おねがい"), "ok": ("○ できること", "OK"), "no": ("× できないこと", "NG"),
           "fees": "地域別 送料表", "area": "お届け先", "fee": "料金（税込）", "days": ("日", "月", "火", "水", "木", "金", "土"),
           "off": "おやすみ", "more": "くわしくはプロフィールへ", "coupon": "お得な優待券"},
    False: {"notice": ("notice", "hello!", "important", "FYI", "update"), "ok": ("Yes please", "DO"), "no": ("Sorry, no", "DON'T"),
            "fees": "Postage by area", "area": "To", "fee": "Rate", "days": ("S", "M", "T", "W", "T", "F", "S"),
            "off": "closed", "more": "more in our profile", "coupon": "Little voucher"},
}  # fmt: skip
POSTER_WORDS = {
    True: (("友だち追加は|こちら", "QRコードを|よみとってね", "LINE公式|はじめました", "お支払いは|こちら", "レビューを|書く", "フォローして|ください",
            "メニューを|見る", "ご予約は|スマホから"),
           ("カメラをかざすだけ", "ID：{handle}", "登録で{n}00円クーポン", "所要時間は1分です", "店内Wi-Fi無料", "{shop} 公式")),
    False: (("Scan me", "Pay|here", "Join us on|the app", "Follow|{handle}", "Leave a|review", "See the|menu", "Book a|slot", "Get {pct}%|off"),
            ("Point your camera here", "{handle}", "No app needed", "Takes one minute", "Free wifi inside", "{shop} official")),
}  # fmt: skip


@dataclass(frozen=True)
class Notice:
    """The words of one notice; a line feed in the headline is a place to break it."""

    japanese: bool
    subject: str
    headline: str
    under: str
    lines: tuple[str, ...]
    shop: str
    number: str
    month: int
    away: range  # the days of the month from the first of the two dates to the second

    @property
    def plain(self) -> str:
        """The headline on one line."""
        return self.headline.replace("\n", "" if self.japanese else " ")


def _values(rng: np.random.Generator, japanese: bool, month: int, away: range) -> dict[str, str]:
    dates = [f"{month}/{d}" if japanese else f"{d} {_MONTHS[month - 1]}" for d in (away.start, away.stop)]
    shop = str(rng.choice(_SHOPS if japanese else _LATIN_SHOPS))
    handle = "@" + str(
        rng.choice(["kinari_works", "little.otter", "moku.ito", "nagi_atelier", "pebblepress"])
    )
    return {
        "d1": dates[0], "d2": dates[1], "m": str(month), "n": str(rng.integers(2, 6)), "shop": shop,
        "k": str(rng.integers(6, 10)), "pct": str(rng.choice([10, 15, 20, 30, 40, 50, 70])), "handle": handle,
        "yen": f"{int(rng.integers(3, 40)) * 500:,}", "code": str(rng.choice(_CODES)), "y": str(rng.integers(12, 25)),
        "h": str(rng.integers(18, 23)), "name": str(rng.choice(_NAMES_JAPANESE if japanese else _NAMES_ENGLISH)),
    }  # fmt: skip


def notice_of(rng: np.random.Generator, japanese: bool, subject: str) -> Notice:
    """A notice on a subject, its headline, lines and numbers drawn from `rng`."""
    return _compose(rng, japanese, subject, (JAPANESE if japanese else ENGLISH)[subject])


def poster_words(rng: np.random.Generator, japanese: bool) -> Notice:
    """The words around a code."""
    heads, unders = POSTER_WORDS[japanese]
    return _compose(rng, japanese, "poster", (heads, unders, unders))


def _compose(rng: np.random.Generator, japanese: bool, subject: str, words: Words) -> Notice:
    heads, unders, lines = words
    month, day = int(rng.integers(1, 13)), int(rng.integers(1, 20))
    away = range(day, day + int(rng.integers(2, 9)))
    values = _values(rng, japanese, month, away)
    headline = str(rng.choice(heads)).format_map(values)
    headline = headline.replace("|", "\n" if rng.random() < 0.75 else ("" if japanese else " "))
    if not japanese and "@" not in headline and rng.random() < 0.3:
        headline = headline.upper()
    chosen = tuple(lines[i].format_map(values) for i in rng.permutation(len(lines)))
    number = values["pct"] + "%" if subject == "sale" else values["d1"]
    under = str(rng.choice(unders)).format_map(values)
    return Notice(japanese, subject, headline, under, chosen, values["shop"], number, month, away)


def every_phrase() -> set[str]:
    """Every phrase as it is written above, without the marks for breaks, in both languages."""
    tables = (*JAPANESE.values(), *ENGLISH.values(), *POSTER_WORDS.values())
    return {phrase.replace("|", "") for table in tables for phrases in table for phrase in phrases}
