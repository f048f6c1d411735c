// Invented names, put together from syllables.
//
// Thread-safe: pure functions, apart from the Random that is given.
#ifndef PROMPTDB_CORPUS_NAMES_H_
#define PROMPTDB_CORPUS_NAMES_H_

#include <string>
#include <string_view>

#include "corpus/corpus.h"
#include "corpus/random.h"

namespace promptdb {

// The split that a name's word ("velmora") belongs to: one in eight is held out. A fixed function
// of its spelling: changing it would put names of the demo model's training among the held-out.
CorpusSplit SplitOf(std::string_view word);

// A word of `split`, of 2 to `most_syllables` syllables, in lower case.
std::string InventWord(CorpusSplit split, int most_syllables, Random& random);

// The same with a capital.
std::string InventName(CorpusSplit split, int most_syllables, Random& random);

std::string Capitalized(std::string text);

}  // namespace promptdb

#endif  // PROMPTDB_CORPUS_NAMES_H_
