// The made-up documents: whether their questions can be answered, and by nothing else; whether the
// two splits are apart; and that nobody changes unknowingly what the demo model was trained on.
#include "corpus/corpus.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "corpus/facts.h"
#include "corpus/names.h"

namespace promptdb {
namespace {

constexpr int kPrompts = 200;

int CountOf(std::string_view text, std::string_view part) {
  int count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Whether `text` has it as words of its own.
bool HoldsWhole(std::string_view text, std::string_view part) {
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) {
    const auto is_letter = [&](size_t i) { return std::isalnum(text[i]) != 0; };
    if (at > 0 && !is_letter(at - 1) && !is_letter(at + part.size())) return true;
  }
  return false;
}

// Capitalised words that no table of wordings has: the invented names.
std::set<std::string> InventedNames(const std::string& text, const std::set<std::string>& known) {
  std::set<std::string> names;
  const std::regex word("[A-Z][a-z]+");
  for (std::sregex_iterator at(text.begin(), text.end(), word), end; at != end; ++at) {
    if (!known.contains(at->str())) names.insert(at->str());
  }
  return names;
}

std::set<std::string> WordsOfTables() {
  std::string text;
  for (const ThingKind kind : kThingKinds) {
    const Thing& thing = ThingOf(kind);
    const auto add = [&](std::span<const std::string_view> texts) {
      for (const std::string_view one : texts) text += std::string(one) + " ";
    };
    add(thing.nouns);
    add(thing.openings);
    for (const Attribute& attribute : thing.attributes) {
      add(attribute.values);
      add(attribute.statements);
      add(attribute.questions);
    }
  }
  std::set<std::string> words;
  const std::regex word("[A-Za-z]+");
  for (std::sregex_iterator at(text.begin(), text.end(), word), end; at != end; ++at) {
    words.insert(at->str());
    words.insert(Capitalized(at->str()));
  }
  return words;
}

TEST(FactTableTest, WordingsHaveTheirPlaces) {
  for (const ThingKind kind : kThingKinds) {
    const Thing& thing = ThingOf(kind);
    EXPECT_EQ(thing.kind, kind);
    EXPECT_GE(thing.attributes.size(), 9u);
    for (const std::string_view opening : thing.openings) {
      EXPECT_EQ(CountOf(opening, "{e}"), 1) << opening;
      // A name that begins a document would be cut into other tokens than everywhere else.
      EXPECT_FALSE(opening.starts_with("{e}")) << opening;
      EXPECT_TRUE(opening.ends_with('.')) << opening;
    }
    std::set<std::string_view> wordings;
    for (const Attribute& attribute : thing.attributes) {
      EXPECT_EQ(attribute.value == ValueKind::kOneOf, !attribute.values.empty());
      EXPECT_GE(attribute.statements.size(), 3u);
      EXPECT_GE(attribute.questions.size(), 3u);
      for (const std::string_view statement : attribute.statements) {
        EXPECT_EQ(CountOf(statement, "{e}"), 1) << statement;
        EXPECT_EQ(CountOf(statement, "{v}"), 1) << statement;
        EXPECT_TRUE(statement.ends_with('.')) << statement;
        EXPECT_TRUE(wordings.insert(statement).second) << statement;
        const bool is_lower =
            attribute.value == ValueKind::kWord || attribute.value == ValueKind::kOneOf;
        EXPECT_FALSE(is_lower && statement.starts_with("{v}")) << statement;
      }
      for (const std::string_view question : attribute.questions) {
        EXPECT_EQ(CountOf(question, "{e}"), 1) << question;
        EXPECT_EQ(CountOf(question, "{v}"), 0) << question;
        EXPECT_TRUE(question.ends_with('?')) << question;
        EXPECT_TRUE(wordings.insert(question).second) << question;
      }
      EXPECT_EQ(CountOf(attribute.phrase, "{e}"), attribute.phrase.empty() ? 0 : 1);
    }
  }
}

TEST(CorpusTest, AnswersStandInTheirDocuments) {
  for (const CorpusSplit split : {CorpusSplit::kTraining, CorpusSplit::kHeldOut}) {
    Corpus corpus(split, 5);
    CorpusOptions options;
    options.questions = 12;
    for (int i = 0; i < kPrompts; ++i) {
      const CorpusPrompt prompt = corpus.NextPrompt(options);
      EXPECT_GE(prompt.documents.size(), 4u);
      EXPECT_LE(prompt.documents.size(), 16u);
      EXPECT_EQ(prompt.questions.size(), 12u);
      for (const std::string& document : prompt.documents) {
        EXPECT_EQ(CountOf(document, "\n"), 1);
        EXPECT_TRUE(document.ends_with(".\n"));
        EXPECT_EQ(document.find('{'), document.npos) << document;
      }
      std::set<std::string> asked;
      for (const CorpusQuestion& question : prompt.questions) {
        EXPECT_TRUE(asked.insert(question.text).second) << question.text;
        ASSERT_EQ(question.sources.size(), 1u);
        const std::string& document = prompt.documents[question.sources[0]];
        EXPECT_TRUE(HoldsWhole(document, question.answer))
            << question.text << " " << question.answer << "\n"
            << document;
      }
    }
  }
}

// Whoever asks about a thing names it, and one document is about it.
TEST(CorpusTest, OneDocumentIsAboutTheThingThatIsAsked) {
  Corpus corpus(CorpusSplit::kHeldOut, 6);
  const std::set<std::string> known = WordsOfTables();
  CorpusOptions options;
  options.questions = 12;
  options.short_names = 0;
  for (int i = 0; i < kPrompts; ++i) {
    const CorpusPrompt prompt = corpus.NextPrompt(options);
    for (const CorpusQuestion& question : prompt.questions) {
      const std::set<std::string> names = InventedNames(question.text, known);
      ASSERT_FALSE(names.empty()) << question.text;
      for (const std::string& name : names) {
        for (int other = 0; other < static_cast<int>(prompt.documents.size()); ++other) {
          EXPECT_EQ(prompt.documents[other].find(name) != std::string::npos,
                    other == question.sources[0])
              << question.text << "\n"
              << prompt.documents[other];
        }
      }
    }
  }
}

TEST(CorpusTest, QuestionsThatTakeTwoDocuments) {
  Corpus corpus(CorpusSplit::kTraining, 7);
  const std::set<std::string> known = WordsOfTables();
  CorpusOptions options;
  options.questions = 4;
  options.min_documents = 12;
  options.two_document_share = 1;
  int two = 0;
  for (int i = 0; i < kPrompts; ++i) {
    const CorpusPrompt prompt = corpus.NextPrompt(options);
    for (const CorpusQuestion& question : prompt.questions) {
      if (question.sources.size() != 2) continue;
      ++two;
      const std::string& first = prompt.documents[question.sources[0]];
      const std::string& second = prompt.documents[question.sources[1]];
      EXPECT_NE(second.find(question.answer), second.npos);
      // The question names the one, which names the other.
      const std::set<std::string> asked = InventedNames(question.text, known);
      const std::set<std::string> in_first = InventedNames(first, known);
      const std::set<std::string> in_second = InventedNames(second, known);
      for (const std::string& name : asked) {
        EXPECT_TRUE(in_first.contains(name));
      }
      EXPECT_TRUE(std::any_of(in_first.begin(), in_first.end(), [&](const auto& name) {
        return in_second.contains(name);
      })) << question.text;
    }
  }
  EXPECT_GT(two, kPrompts);
}

TEST(CorpusTest, NoHeldOutNameIsTrainedOn) {
  const std::set<std::string> known = WordsOfTables();
  std::map<CorpusSplit, std::set<std::string>> names;
  for (const CorpusSplit split : {CorpusSplit::kTraining, CorpusSplit::kHeldOut}) {
    Corpus corpus(split, 8);
    for (int i = 0; i < kPrompts; ++i) {
      for (const std::string& document : corpus.NextPrompt({}).documents) {
        for (const std::string& name : InventedNames(document, known)) {
          EXPECT_EQ(SplitOf(name), split) << name << " in " << document;
          names[split].insert(name);
        }
      }
    }
    EXPECT_GT(names[split].size(), 2000u);
  }
  for (const std::string& name : names[CorpusSplit::kHeldOut]) {
    EXPECT_FALSE(names[CorpusSplit::kTraining].contains(name)) << name;
  }
}

TEST(CorpusTest, OptionsMakeItEasy) {
  Corpus corpus(CorpusSplit::kTraining, 9);
  CorpusOptions options;
  options.min_documents = options.max_documents = 3;
  options.min_facts = options.max_facts = 2;
  options.wordings = 1;
  options.syllables = 2;
  options.short_names = 0;
  std::set<std::string> plainest;
  for (const ThingKind kind : kThingKinds) {
    for (const Attribute& attribute : ThingOf(kind).attributes) {
      const std::string_view question = attribute.questions[0];
      plainest.insert(std::string(question.substr(0, question.find("{e}"))));
    }
  }
  for (int i = 0; i < kPrompts; ++i) {
    const CorpusPrompt prompt = corpus.NextPrompt(options);
    ASSERT_EQ(prompt.documents.size(), 3u);
    for (const std::string& document : prompt.documents) {
      EXPECT_EQ(CountOf(document, ". ") + CountOf(document, ".\n"), 3) << document;
    }
    ASSERT_EQ(prompt.questions.size(), 1u);
    EXPECT_TRUE(std::any_of(plainest.begin(), plainest.end(), [&](const auto& beginning) {
      return prompt.questions[0].text.starts_with(beginning);
    })) << prompt.questions[0].text;
  }
}

// If this fails, the demo model was trained on something else than corpus/ now makes.
TEST(CorpusTest, IsWhatItWas) {
  Corpus corpus(CorpusSplit::kHeldOut, 1);
  CorpusOptions options;
  options.min_documents = options.max_documents = 3;
  options.questions = 3;
  const CorpusPrompt prompt = corpus.NextPrompt(options);
  std::string text;
  for (const std::string& document : prompt.documents) text += document;
  for (const CorpusQuestion& question : prompt.questions) {
    text += question.text + " " + question.answer + "\n";
  }
  EXPECT_EQ(text + corpus.NextStory(),
            "The Skerinam Bicycle is new in our shop. Workers in Monnukler build the bicycle in a"
            " factory. With a weight of 52 kilos the bicycle is easy to carry. For 85 crowns the "
            "bicycle is yours.\n"
            "This page is about the Brajasko Bicycle. The Brajasko Bicycle is made by Ketru. For "
            "69 crowns the Brajasko Bicycle is yours. The bicycle has a guarantee of 7 years. The"
            " bicycle is painted red.\n"
            "These are the rules of the Steathnoth Museum. An architect called Nesgofos "
            "Thomprapaim planned the Steathnoth Museum. The doors of the museum open at 11 "
            "o'clock. On Tuesday the Steathnoth Museum stays closed.\n"
            "What is the price of the Brajasko Bicycle? 69 crowns\n"
            "Which is the day on which the Steathnoth Museum stays closed? Tuesday\n"
            "At what time do the doors of the Steathnoth Museum open? 11 o'clock\n"
            "There once lived a young farmer near the sea. Its name was Daindrix. Daindrix "
            "dreamed of a small boat. Daindrix sat down, for it had become dark. Then a farmer "
            "called Losifea came and shared some bread. Behind a stone lay the small boat. In the"
            " evening everybody was happy.\n");
}

}  // namespace
}  // namespace promptdb
