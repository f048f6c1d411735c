#include <array>
#include <string_view>

#include "corpus/corpus.h"
#include "corpus/names.h"

namespace promptdb {
namespace {

template <size_t count>
using Texts = std::array<std::string_view, count>;

constexpr Texts<8> kWho{"fox", "girl", "boy", "bear", "mouse", "duck", "farmer", "cat"};
constexpr Texts<6> kKinds{"little", "young", "brave", "hungry", "clever", "shy"};
constexpr Texts<6> kPlaces{"by the river", "in a dark wood",   "near the sea",
                           "on a hill",    "in a small house", "at the edge of the town"};
constexpr Texts<6> kThings{"red ball",      "warm coat",  "golden key",
                           "loaf of bread", "small boat", "paper kite"};
constexpr Texts<6> kWeathers{"the sun was bright", "it began to rain", "the wind was cold",
                             "snow fell all day",  "the sky was grey", "a storm came up"};
constexpr Texts<6> kTroubles{"it was lost",           "a big dog stood in the way",
                             "the bridge was broken", "the door would not open",
                             "it had become dark",    "nobody was at home"};
constexpr Texts<6> kHelps{"showed the way", "shared some bread", "held out a hand",
                          "brought a lamp", "told a secret",     "pushed as hard as it could"};
constexpr Texts<5> kEnds{"They were friends from that day on.",
                         "In the evening everybody was happy.", "That night they slept well.",
                         "They laughed and went home.", "And nobody ever forgot that day."};

constexpr Texts<4> kBeginnings{
    "Once there was a {k} {w} called {a} who lived {p}.", "{a} was a {k} {w} and lived {p}.",
    "There once lived a {k} {w} {p}. Its name was {a}.", "Far away, {p}, lived {a}, a {k} {w}."};
constexpr Texts<4> kWishes{"One day {a} wanted to find a {t}.", "{a} dreamed of a {t}.",
                           "More than anything {a} wished for a {t}.",
                           "One morning {a} went out to look for a {t}."};
constexpr Texts<4> kWeatherSentences{"On that morning {s}.", "Outside, {s}.", "Soon {s}.",
                                     "On the way {s}."};
constexpr Texts<4> kTroubleSentences{"But {u}, and {a} felt sad.",
                                     "Then {a} had to stop, because {u}.",
                                     "But {u}. \"What now?\" asked {a}.", "{a} sat down, for {u}."};
constexpr Texts<4> kHelpSentences{
    "Then a {v} called {b} came and {h}.", "{b}, a {l} {v}, heard this and {h}.",
    "A {l} {v} came by. It was {b}, who {h}.", "\"I will help you,\" said {b}, the {v}, and {h}."};
constexpr Texts<4> kFindings{"Together they found the {t}.", "At last {a} held the {t}.",
                             "Behind a stone lay the {t}.", "And there it was, the {t}."};

}  // namespace

std::string Corpus::NextStory() {
  const std::string hero = InventName(split_, 3, random_);
  const std::string helper = InventName(split_, 3, random_);
  const auto pick = [&](std::span<const std::string_view> from) { return random_.Pick(from); };
  const std::array<std::pair<char, std::string_view>, 11> words{{{'a', hero},
                                                                 {'b', helper},
                                                                 {'k', pick(kKinds)},
                                                                 {'l', pick(kKinds)},
                                                                 {'w', pick(kWho)},
                                                                 {'v', pick(kWho)},
                                                                 {'p', pick(kPlaces)},
                                                                 {'t', pick(kThings)},
                                                                 {'s', pick(kWeathers)},
                                                                 {'u', pick(kTroubles)},
                                                                 {'h', pick(kHelps)}}};
  std::string text;
  const auto tell = [&](std::string_view sentence) {
    if (!text.empty()) text += ' ';
    for (size_t i = 0; i < sentence.size(); ++i) {
      if (sentence[i] != '{') {
        text += sentence[i];
        continue;
      }
      for (const auto& [mark, word] : words) {
        if (mark == sentence[i + 1]) text += word;
      }
      i += 2;
    }
  };
  tell(pick(kBeginnings));
  tell(pick(kWishes));
  if (random_.Chance(0.6)) tell(pick(kWeatherSentences));
  if (random_.Chance(0.7)) tell(pick(kTroubleSentences));
  tell(pick(kHelpSentences));
  tell(pick(kFindings));
  tell(pick(kEnds));
  return text + "\n";
}

}  // namespace promptdb
