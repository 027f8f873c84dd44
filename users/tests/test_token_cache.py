from datetime import timedelta
from types import SimpleNamespace

from django.test import SimpleTestCase

from users.tests.base import NOON
from users.token_cache import Entry, TokenCache


def entry(user_id: int = 1, *, trusted_until: float = 10.0, lives_s: int | None = None) -> Entry:
    expiry = None if lives_s is None else NOON + timedelta(seconds=lives_s)
    return Entry(SimpleNamespace(pk=user_id), None, expiry, trusted_until)


class TokenCacheTests(SimpleTestCase):
    def setUp(self) -> None:
        self.cache = TokenCache(size=3)

    def put(self, digest: str, kept: Entry) -> None:
        self.cache.put(digest, kept, generation=self.cache.generation)

    def knows(self, digest: str, *, monotonic: float = 0.0, after_s: float = 0.0) -> bool:
        found = self.cache.get(digest, monotonic=monotonic, now=NOON + timedelta(seconds=after_s))
        return found is not None

    def test_it_trusts_for_a_while(self) -> None:
        self.put("a", entry(trusted_until=10.0))
        self.assertTrue(self.knows("a", monotonic=9.9))
        self.assertFalse(self.knows("a", monotonic=10.0))

    def test_it_never_outlives_the_token(self) -> None:
        self.put("a", entry(lives_s=2))
        self.assertTrue(self.knows("a", after_s=1.9))
        self.assertFalse(self.knows("a", after_s=2))

    def test_it_keeps_the_newest(self) -> None:
        for digest in "abcd":
            self.put(digest, entry())
        self.assertEqual([self.knows(digest) for digest in "abcd"], [False, True, True, True])

    def test_it_forgets_a_token(self) -> None:
        self.put("a", entry())
        self.put("b", entry())
        self.cache.forget_token("a")
        self.assertEqual((self.knows("a"), self.knows("b")), (False, True))

    def test_it_forgets_all_tokens_of_a_user(self) -> None:
        self.put("a", entry(1))
        self.put("b", entry(2))
        self.put("c", entry(1))
        self.cache.forget_user(1)
        self.assertEqual([self.knows(digest) for digest in "abc"], [False, True, False])

    def test_what_was_looked_up_before_an_eviction_is_not_kept_after_it(self) -> None:
        generation = self.cache.generation
        self.cache.forget_user(1)
        self.cache.put("a", entry(1), generation=generation)
        self.assertFalse(self.knows("a"))
