"""The words of the pages in English, which are the keys, and in Japanese."""

from collections.abc import Mapping

LANGUAGES = ("en", "ja")
COOKIE = "mekiki_language"

_JAPANESE = {
    "Now": "現在",
    "Review": "確認",
    "Why": "経緯",
    "Try": "試行",
    "Search": "検索",
    "accept": "承認",
    "review": "要確認",
    "block": "非公開",
    "undo": "取り消し",
    "Accept": "承認する",
    "Block": "非公開にする",
    "Undo": "取り消す",
    "Later": "後で",
    "Sign in": "サインイン",
    "Sign out": "サインアウト",
    "Token": "トークン",
    "viewer": "閲覧者",
    "reviewer": "確認者",
    "Decisions as they come": "新しい判定",
    "Verdicts in the last 5 minutes": "直近5分の判定数",
    "by people": "人による判定",
    "waiting for review": "確認待ち",
    "records behind": "未読レコード",
    "up to date": "最新",
    "near a cut": "しきい値付近",
    "in review": "要確認",
    "No image waits for a person.": "確認待ちの画像はありません。",
    "New ones appear here by themselves.": "新しい画像は自動的に表示されます。",
    "No picture": "画像なし",
    "no score reached a threshold": "しきい値に達したスコアはありません",
    "reached": "しきい値",
    "exempted": "除外",
    "Scores": "スコア",
    "Reasons": "理由",
    "Codes": "コード",
    "Category": "カテゴリー",
    "Reason (optional)": "理由 - 任意",
    "Next in the queue": "次の画像",
    "Keys": "キー操作",
    "You may look, and reviewers decide.": "閲覧のみ可能です。判定は確認者が行います。",
    "Image id": "画像ID",
    "Show": "表示",
    "History": "履歴",
    "when": "日時",
    "what": "種類",
    "says": "内容",
    "where in the log": "ログの位置",
    "Nothing is known of this image.": "この画像の記録はありません。",
    "decided by": "判定者",
    "the policy": "ポリシー",
    "the policy alone:": "ポリシーのみの場合",
    "bundle": "バンドル",
    "policy": "ポリシー",
    "Decide about it": "この画像を判定する",
    "Judge again": "もう一度判定する",
    "The answer is the same.": "結果は同じです。",
    "The answer is another.": "結果が異なります。",
    "Another:": "異なる点:",
    "of image": "画像",
    "of bundle": "バンドル",
    "of policy": "ポリシー",
    "of decision": "判定",
    "of scores": "スコア",
    "on record": "記録",
    "judged again": "再判定",
    "It cannot be judged again:": "再判定できません:",
    "What another threshold would change": "しきい値を変えた場合の影響",
    "verdicts": "件の判定",
    "would have been another": "件が変わります",
    "as decided": "現在",
    "as tried": "試行",
    "Just under the cut": "しきい値のすぐ下",
    "Just over the cut": "しきい値のすぐ上",
    "To paste into the settings": "設定ファイルに貼り付ける内容",
    "Count": "数える",
    "Bundles tried beside it": "試行中のバンドル",
    "beside": "比較対象",
    "images": "件の画像",
    "would be decided otherwise": "件の判定が変わります",
    "score": "スコア",
    "stricter": "より厳しい",
    "laxer": "より緩い",
    "The furthest apart": "判定の差が大きい画像",
    "off": "なし",
    "No verdict is there yet.": "判定はまだありません。",
    "Find what looks alike": "似た画像を探す",
    "Drop an image here, or choose one": "画像をここにドロップするか選択してください",
    "or an image id": "または画像ID",
    "More of (+)": "足す属性 (+)",
    "Less of (-)": "引く属性 (-)",
    "Without these ids": "除外する画像ID",
    "No farther than": "最大距離",
    "Terms are NAME, NAME=WEIGHT or image:ID, with commas between.": (
        "項目は 名前、名前=重み、image:ID をコンマ区切りで指定します。"
    ),
    "Attributes:": "属性:",
    "Order by": "並べ替え",
    "One of each group of copies": "同じ画像は一つだけ",
    "Next page": "次のページ",
    "Only some images": "絞り込み",
    "Categories, one of": "カテゴリー - いずれか",
    "Tags, all of": "タグ - すべて",
    "Listings, one of": "出品 - いずれか",
    "Uploaded from": "登録日 - 以降",
    "Uploaded before": "登録日 - より前",
    "distance": "距離",
    "Nothing was found.": "見つかりませんでした。",
    "Searches are not set up: console.search_url": "検索が設定されていません console.search_url",
    "The decision was sent.": "判定を送信しました。",
    "Another decision has come meanwhile: look again.": ("別の判定がありました。もう一度確認してください。"),
    "Language": "言語",
    "That went wrong": "エラー",
    "The token is not known.": "トークンが正しくありません。",
    "all": "すべて",
    "none": "なし",
    "skip to the content": "本文へ移動",
    "changed": "変更",
    "Thresholds": "しきい値",
    "near-duplicates": "類似画像",
    "ago": "前",
}


def translator(language: str) -> Mapping[str, str]:
    """The words of a language by their English ones."""
    return _Words(_JAPANESE if language == "ja" else {})


class _Words(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return key


def preferred(cookie: str | None, accepted: str) -> str:
    """The language of the cookie, else the first that the browser asks for and that is there."""
    if cookie in LANGUAGES:
        return str(cookie)
    for part in accepted.split(","):
        name = part.partition(";")[0].strip().lower()[:2]
        if name in LANGUAGES:
            return name
    return LANGUAGES[0]
