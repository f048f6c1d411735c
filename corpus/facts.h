// What the corpus knows to say: kinds of things, their attributes, and the wordings in which an
// attribute is stated and asked. Plain tables.
//
// In a wording {e} is the thing and {v} the value. The first wording of each is the plainest.
//
// Thread-safe: immutable.
#ifndef PROMPTDB_CORPUS_FACTS_H_
#define PROMPTDB_CORPUS_FACTS_H_

#include <span>
#include <string_view>

namespace promptdb {

enum class ThingKind { kTown, kPerson, kProduct, kVenue };
inline constexpr ThingKind kThingKinds[] = {ThingKind::kTown, ThingKind::kPerson,
                                            ThingKind::kProduct, ThingKind::kVenue};

enum class ValueKind {
  kPersonName,  // "Tarin Bosk"
  kTownName,    // "Velmora"
  kWord,        // "skoralin"
  kName,        // "Aldrin"
  kYear,        // "1734"
  kCount,       // "4,210"
  kPrice,       // "14 crowns"
  kHour,        // "9 o'clock"
  kYears,       // "5 years"
  kMetres,      // "37 metres"
  kKilos,       // "12 kilos"
  kAge,         // "41"
  kOneOf,       // of Attribute::values
};

struct Attribute {
  ValueKind value;
  std::span<const std::string_view> values;  // kOneOf only
  std::span<const std::string_view> statements;
  std::span<const std::string_view> questions;
  // "the mayor of {e}": what another question calls the value, where the value can itself be the
  // thing of a document; empty elsewhere.
  std::string_view phrase;
};

struct Thing {
  ThingKind kind;
  std::span<const std::string_view> nouns;  // "town"; products and venues have theirs in the name
  std::span<const std::string_view> openings;  // the first sentence; {e}, and {n} for the noun
  std::span<const Attribute> attributes;
};

const Thing& ThingOf(ThingKind kind);

}  // namespace promptdb

#endif  // PROMPTDB_CORPUS_FACTS_H_
