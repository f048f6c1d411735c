#include "corpus/corpus.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>

#include "corpus/facts.h"
#include "corpus/names.h"

namespace promptdb {
namespace {

// Of the values that may name another document's thing: so many do, where two documents are asked.
constexpr double kLinkShare = 0.5;

struct Fact {
  const Attribute* attribute;
  std::string value;
  int linked = -1;  // the document whose thing the value names
  bool is_asked = false;
};

struct Document {
  const Thing* thing;
  std::string noun;        // "town", "Lamp"
  std::string name;        // "Velmora", "Tarin Bosk", "Velmora Lamp"
  std::string short_name;  // "the town", "Tarin", "lamp"
  std::vector<Fact> facts;
};

std::string Filled(std::string_view wording, std::string_view mark, std::string_view text) {
  std::string filled(wording);
  const size_t at = filled.find(mark);
  if (at != filled.npos) filled.replace(at, mark.size(), text);
  return filled;
}

std::string_view PickWording(std::span<const std::string_view> wordings,
                             const CorpusOptions& options, Random& random) {
  const size_t known = std::min<size_t>(wordings.size(), std::max(1, options.wordings));
  return wordings[random.Below(known)];
}

class PromptMaker {
 public:
  PromptMaker(CorpusSplit split, const CorpusOptions& options, Random& random)
      : split_(split), options_(options), random_(random) {}

  CorpusPrompt Make() {
    std::vector<ThingKind> kinds(std::begin(kThingKinds), std::end(kThingKinds));
    random_.Shuffle(kinds);
    // Things of one kind are told apart by their names alone.
    kinds.resize(random_.Between(1, std::clamp(options_.kinds, 1, static_cast<int>(kinds.size()))));
    const int count = random_.Between(options_.min_documents, options_.max_documents);
    for (int i = 0; i < count; ++i) {
      documents_.push_back(NewDocument(ThingOf(kinds[random_.Below(kinds.size())])));
    }
    if (options_.two_document_share > 0) Link();

    CorpusPrompt prompt;
    for (const Document& document : documents_) prompt.documents.push_back(TextOf(document));
    for (int i = 0; i < options_.questions; ++i) {
      std::optional<CorpusQuestion> question;
      if (random_.Chance(options_.two_document_share)) question = AskTwo();
      if (!question) question = AskOne();
      if (!question) break;
      prompt.questions.push_back(std::move(*question));
    }
    return prompt;
  }

 private:
  // A name that nothing else in the prompt has.
  std::string NewWord() {
    while (true) {
      std::string word = InventWord(split_, options_.syllables, random_);
      if (words_.insert(word).second) return word;
    }
  }
  std::string NewName() { return Capitalized(NewWord()); }
  std::string NewPersonName() {
    const std::string first = NewName();
    return first + " " + NewName();
  }

  Document NewDocument(const Thing& thing) {
    Document document{.thing = &thing, .noun = std::string(random_.Pick(thing.nouns))};
    switch (thing.kind) {
      case ThingKind::kTown:
        document.name = NewName();
        document.short_name = "the " + document.noun;
        break;
      case ThingKind::kPerson:
        document.name = NewPersonName();
        document.short_name = document.name.substr(0, document.name.find(' '));
        break;
      case ThingKind::kProduct:
      case ThingKind::kVenue:
        document.name = NewName() + " " + document.noun;
        document.short_name = document.noun;
        document.short_name[0] = static_cast<char>(document.short_name[0] - 'A' + 'a');
        break;
    }
    std::vector<const Attribute*> attributes;
    for (const Attribute& attribute : thing.attributes) attributes.push_back(&attribute);
    random_.Shuffle(attributes);
    attributes.resize(std::min<size_t>(attributes.size(),
                                       random_.Between(options_.min_facts, options_.max_facts)));
    for (const Attribute* attribute : attributes) {
      document.facts.push_back({.attribute = attribute, .value = NewValue(*attribute)});
    }
    return document;
  }

  std::string NewValue(const Attribute& attribute) {
    const auto number = [&](int low, int high, const char* unit) {
      return std::to_string(random_.Between(low, high)) + unit;
    };
    switch (attribute.value) {
      case ValueKind::kPersonName:
        return NewPersonName();
      case ValueKind::kTownName:
      case ValueKind::kName:
        return NewName();
      case ValueKind::kWord:
        return NewWord();
      case ValueKind::kYear:
        return number(1200, 1999, "");
      case ValueKind::kCount:
        return number(1, 29, ",") + std::to_string(random_.Between(10, 99)) + "0";
      case ValueKind::kPrice:
        return number(2, 99, " crowns");
      case ValueKind::kHour:
        return number(5, 12, " o'clock");
      case ValueKind::kYears:
        return number(2, 20, " years");
      case ValueKind::kMetres:
        return number(11, 99, " metres");
      case ValueKind::kKilos:
        return number(2, 60, " kilos");
      case ValueKind::kAge:
        return number(18, 95, "");
      case ValueKind::kOneOf:
        return std::string(random_.Pick(attribute.values));
    }
    return "";
  }

  // Lets values name other documents' things.
  void Link() {
    for (size_t from = 0; from < documents_.size(); ++from) {
      for (Fact& fact : documents_[from].facts) {
        if (fact.attribute->phrase.empty() || !random_.Chance(kLinkShare)) continue;
        const ThingKind kind =
            fact.attribute->value == ValueKind::kTownName ? ThingKind::kTown : ThingKind::kPerson;
        std::vector<int> candidates;
        for (size_t to = 0; to < documents_.size(); ++to) {
          if (to != from && documents_[to].thing->kind == kind) {
            candidates.push_back(static_cast<int>(to));
          }
        }
        if (candidates.empty()) continue;
        fact.linked = candidates[random_.Below(candidates.size())];
        fact.value = documents_[fact.linked].name;
      }
    }
  }

  std::string TextOf(const Document& document) {
    std::string text = Filled(Filled(random_.Pick(document.thing->openings), "{n}", document.noun),
                              "{e}", document.name);
    for (const Fact& fact : document.facts) {
      const bool is_short = random_.Chance(options_.short_names);
      const std::string_view wording = PickWording(fact.attribute->statements, options_, random_);
      const std::string sentence =
          Filled(wording, "{e}", is_short ? document.short_name : document.name);
      // The value keeps its spelling even where it begins the sentence.
      text += " " + Filled(Capitalized(sentence), "{v}", fact.value);
    }
    return text + "\n";
  }

  std::string QuestionOf(const Fact& fact, std::string_view thing) {
    return Filled(PickWording(fact.attribute->questions, options_, random_), "{e}", thing);
  }

  // A fact that was not asked before, or nothing.
  std::optional<CorpusQuestion> AskOne() {
    std::vector<std::pair<int, Fact*>> left;
    for (size_t i = 0; i < documents_.size(); ++i) {
      for (Fact& fact : documents_[i].facts) {
        if (!fact.is_asked) left.emplace_back(static_cast<int>(i), &fact);
      }
    }
    if (left.empty()) return std::nullopt;
    const auto [document, fact] = left[random_.Below(left.size())];
    fact->is_asked = true;
    if (options_.statements > 0 && random_.Chance(options_.statements)) {
      std::string_view wording = fact->attribute->statements[0];
      constexpr std::string_view kLeftOut = " {v}.";
      if (wording.ends_with(kLeftOut)) {
        wording.remove_suffix(kLeftOut.size());
        return CorpusQuestion{
            Filled(wording, "{e}", documents_[document].name), fact->value, {document}, true};
      }
    }
    return CorpusQuestion{QuestionOf(*fact, documents_[document].name), fact->value, {document}};
  }

  // "Which job does the mayor of Velmora have?"
  std::optional<CorpusQuestion> AskTwo() {
    struct Way {
      int from;
      const Fact* link;
      Fact* asked;
    };
    std::vector<Way> ways;
    for (size_t from = 0; from < documents_.size(); ++from) {
      for (const Fact& link : documents_[from].facts) {
        if (link.linked < 0) continue;
        for (Fact& asked : documents_[link.linked].facts) {
          if (!asked.is_asked) ways.push_back({static_cast<int>(from), &link, &asked});
        }
      }
    }
    if (ways.empty()) return std::nullopt;
    const Way way = ways[random_.Below(ways.size())];
    way.asked->is_asked = true;
    const std::string thing = Filled(way.link->attribute->phrase, "{e}", documents_[way.from].name);
    return CorpusQuestion{
        QuestionOf(*way.asked, thing), way.asked->value, {way.from, way.link->linked}};
  }

  const CorpusSplit split_;
  const CorpusOptions& options_;
  Random& random_;
  std::set<std::string> words_;
  std::vector<Document> documents_;
};

}  // namespace

CorpusPrompt Corpus::NextPrompt(const CorpusOptions& options) {
  return PromptMaker(split_, options, random_).Make();
}

}  // namespace promptdb
