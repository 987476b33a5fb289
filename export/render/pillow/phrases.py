# ruff: noqa: RUF001 - Japanese copy is full of full-width marks
"""What shop notices say, in Japanese and English: invented copy with random dates, prices and names."""

from dataclasses import dataclass

import numpy as np

Table = list[list[str]]


@dataclass(frozen=True)
class NoticeText:
    """A notice before it is drawn: a title, lines of body and, sometimes, a table."""

    title: str
    lines: list[str]
    table: Table | None
    japanese: bool


_JA_TITLES = [
    "お知らせ",
    "重要なお知らせ",
    "営業時間のご案内",
    "年末年始休業のお知らせ",
    "夏季休業のお知らせ",
    "発送についてのご案内",
    "配送遅延のお知らせ",
    "送料改定のお知らせ",
    "在庫切れのお詫び",
    "完売御礼",
    "再入荷のお知らせ",
    "SALE開催中",
    "全品{p}%OFF",
    "期間限定セール",
    "タイムセール",
    "福袋予約受付中",
    "ご購入前に必ずお読みください",
    "注意事項",
    "返品・交換について",
    "サイズ表",
    "サイズの測り方",
    "料金表",
    "価格表",
    "お問い合わせ",
    "ギフトラッピング",
    "ラッピングについて",
    "オーダー方法",
    "ご注文の流れ",
    "よくある質問",
    "プロフィール必読",
    "専用ページ",
    "○○様専用",
    "即購入OK",
    "コメント不要",
    "値下げしました",
    "本日限り",
    "ポイント{n}倍",
    "送料無料",
    "定休日のお知らせ",
    "臨時休業",
    "休業中",
    "準備中",
    "受注生産",
    "予約販売",
    "ご来店ありがとうございます",
    "新規会員募集",
    "クーポン配布中",
    "メンテナンスのお知らせ",
    "偽サイトにご注意ください",
    "お支払い方法",
    "特定商取引法に基づく表記",
    "店舗移転のお知らせ",
    "閉店セール",
    "フォロワー限定割引",
    "まとめ買い割引",
    "同梱割引",
    "リピート割",
    "次回入荷未定",
    "SOLD OUT",
    "入荷待ち",
    "カタログ",
    "商品一覧",
    "レビューキャンペーン",
]
_JA_LINES = [
    "誠に勝手ながら下記の期間を休業とさせていただきます。",
    "{m}月{d}日（{w}）〜{m}月{d2}日（{w}）",
    "休業期間中のご注文は{m}月{d}日以降に順次発送いたします。",
    "ご不便をおかけいたしますが、何卒よろしくお願いいたします。",
    "お問い合わせへのご返信は{n}営業日以内にいたします。",
    "大雪の影響によりお届けに遅れが生じております。",
    "ご注文から発送まで{n}日〜{n2}日ほどお時間をいただいております。",
    "{y}円以上お買い上げで送料無料",
    "全国一律{y}円",
    "北海道・沖縄は別途{y}円かかります。",
    "お客様都合による返品・交換はお受けできません。",
    "不良品の場合は到着後{n}日以内にご連絡ください。",
    "モニター環境により実際の色味と異なる場合がございます。",
    "ハンドメイド品のため多少の個体差がございます。",
    "サイズは平置き採寸のため{n}cm程度の誤差があります。",
    "在庫がなくなり次第終了となります。",
    "クーポンコード：{c}",
    "TEL：0{n}-{k}-{k}",
    "営業時間 {h}:00〜{h2}:00",
    "定休日：{w}曜日",
    "土日祝日は発送をお休みしております。",
    "ペット・喫煙者はいません。",
    "神経質な方のご購入はお控えください。",
    "いいね・フォローありがとうございます。",
    "購入前にコメントをお願いします。",
    "複数購入の場合はお値引きいたします。",
    "最大{p}%OFF",
    "対象商品 {k}点",
    "期間：{m}/{d}（{w}）{h}:00〜",
    "先着{n}名様限定",
    "他サイトでも販売しております。",
    "転売目的のご購入は固くお断りいたします。",
    "領収書をご希望の方は備考欄にご記入ください。",
    "お届け日時のご指定が可能です。",
    "①カートに入れる",
    "②お支払い方法を選択",
    "③発送完了メールをお待ちください",
    "※画像はイメージです",
    "※一部対象外の商品がございます",
    "★レビューを書いて{y}円OFF★",
    "価格 {y}円（税込）",
    "通常価格 {y}円 → {y}円",
    "こちらの商品は予約販売です。",
    "{m}月下旬頃より順次お届け予定",
    "素材：綿{p}% ポリエステル{p}%",
    "店長 {s}",
    "公式LINEはじめました",
    "@{u}",
]
_EN_TITLES = [
    "NOTICE",
    "IMPORTANT NOTICE",
    "SALE",
    "BIG SALE",
    "FLASH SALE",
    "{p}% OFF",
    "UP TO {p}% OFF",
    "FREE SHIPPING",
    "SOLD OUT",
    "OUT OF STOCK",
    "COMING SOON",
    "Shipping Delay",
    "Holiday Schedule",
    "We are closed",
    "Store Hours",
    "Opening Hours",
    "Size Chart",
    "Size Guide",
    "Price List",
    "Contact Us",
    "Return Policy",
    "Terms & Conditions",
    "Please Read Before Buying",
    "How to Order",
    "Thank You",
    "New Arrivals",
    "Back in Stock",
    "Pre-Order",
    "Gift Wrapping",
    "FAQ",
    "Shop Policy",
    "Custom Order",
    "Reserved",
    "Do Not Buy",
    "Discount Code",
    "Clearance",
    "Last Chance",
    "Black Friday",
    "Summer Sale",
    "We are moving",
    "On Vacation",
    "Payment Methods",
    "Care Instructions",
    "Wholesale",
    "Buy 2 Get 1 Free",
    "Today Only",
    "Announcement",
    "Maintenance",
    "Follow us",
]
_EN_LINES = [
    "Orders placed after {mon} {d} will ship on {mon} {d2}.",
    "Our shop is closed from {mon} {d} to {mon} {d2}.",
    "Please allow {n} to {n2} business days for delivery.",
    "We are sorry for the inconvenience.",
    "Use code {c} at checkout",
    "Free shipping on orders over ${y2}",
    "No returns or exchanges on sale items.",
    "Colours may differ slightly from the photo.",
    "Measurements are taken flat and may vary by 1-2 cm.",
    "While stocks last.",
    "Contact: {u}@example.com",
    "Call 0{n}-{k}-{k}",
    "Mon - Fri {h}:00 - {h2}:00",
    "Closed on Sundays",
    "Follow @{u}",
    "Thank you for your patience!",
    "Due to high demand, orders are delayed.",
    "Everything must go",
    "Limited time only",
    "Prices from ${y2}",
    "Bundle and save {p}%",
    "Message us before purchase.",
    "Handmade to order.",
    "International shipping available.",
    "Damaged items must be reported within {n} days.",
    "Smoke free, pet free home.",
    "All sales are final.",
    "Was ${y2} now ${n}.99",
    "Ends {mon} {d}",
    "Step 1. Add to cart",
    "Step 2. Choose payment",
    "Step 3. Wait for our e-mail",
    "100% cotton",
    "Wash cold, do not tumble dry",
    "New items every week",
    "Member price ${y2}",
    "See profile for details",
]
_WEEKDAYS = "月火水木金土日"
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_USERS = [
    "hana_shop",
    "studio.kumo",
    "vintage_mori",
    "atelier_k",
    "little-fox",
    "tokyo_used",
    "leaf_and_co",
    "nikko.store",
    "blue_bird",
]
_NAMES = ["佐藤", "鈴木", "高橋", "田中", "伊藤", "渡辺", "山本", "中村", "小林", "加藤"]


def _fill(template: str, rng: np.random.Generator) -> str:
    day = int(rng.integers(1, 25))
    hour = int(rng.integers(8, 12))
    return template.format(
        p=int(rng.integers(1, 19)) * 5, n=int(rng.integers(1, 10)), n2=int(rng.integers(10, 21)),
        m=int(rng.integers(1, 13)), d=day, d2=day + int(rng.integers(1, 6)),
        w=_WEEKDAYS[int(rng.integers(7))], mon=_MONTHS[int(rng.integers(12))],
        y=f"{int(rng.integers(2, 200)) * 50:,}", y2=int(rng.integers(10, 200)),
        k=int(rng.integers(1000, 9999)),
        h=hour, h2=hour + int(rng.integers(6, 11)), u=_USERS[int(rng.integers(len(_USERS)))],
        s=_NAMES[int(rng.integers(len(_NAMES)))],
        c="".join(rng.choice(list("ABCDEFGHJKLMNPQRSTUVWXYZ23456789"), 6)),
    )  # fmt: skip


def random_table(rng: np.random.Generator, japanese: bool) -> Table:
    """A size table, a price list, or delivery times, with a header row."""
    kind = int(rng.integers(3))
    if kind == 0:
        head = (
            ["サイズ", "着丈", "身幅", "肩幅", "袖丈"]
            if japanese
            else ["Size", "Length", "Chest", "Shoulder", "Sleeve"]
        )
        sizes = ["XS", "S", "M", "L", "XL", "XXL"][: int(rng.integers(3, 7))]
        return [head] + [[s] + [str(int(rng.integers(20, 120))) for _ in head[1:]] for s in sizes]
    if kind == 1:
        head = ["商品", "価格"] if japanese else ["Item", "Price"]
        japanese_items = ["Tシャツ", "パンツ", "ワンピース", "バッグ", "帽子", "靴下", "刺繍", "修理"]
        items = japanese_items if japanese else (
            ["T-shirt", "Trousers", "Dress", "Bag", "Hat", "Socks", "Repair", "Engraving"]
        )  # fmt: skip
        mark = "¥" if japanese else "$"
        return [head] + [
            [i, f"{mark}{int(rng.integers(3, 99)) * 100:,}"] for i in items[: int(rng.integers(3, 8))]
        ]
    head = ["地域", "送料", "日数"] if japanese else ["Region", "Cost", "Days"]
    regions = (
        ["関東", "関西", "東北", "九州", "北海道", "沖縄"]
        if japanese
        else ["Europe", "Asia", "USA", "Canada", "Oceania", "UK"]
    )
    return [head] + [[r, str(int(rng.integers(3, 20)) * 100), str(int(rng.integers(1, 15)))] for r in regions]


def random_notice(rng: np.random.Generator, japanese: bool, lines: int) -> NoticeText:
    """A notice with about `lines` lines of body; a third of them carry a table."""
    titles, bodies = (_JA_TITLES, _JA_LINES) if japanese else (_EN_TITLES, _EN_LINES)
    chosen = rng.choice(len(bodies), size=min(lines, len(bodies)), replace=False)
    return NoticeText(
        title=_fill(titles[int(rng.integers(len(titles)))], rng),
        lines=[_fill(bodies[int(i)], rng) for i in chosen],
        table=random_table(rng, japanese) if rng.random() < 0.3 else None,
        japanese=japanese,
    )
