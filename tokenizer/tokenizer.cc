#include "tokenizer/tokenizer.h"

#include <algorithm>

namespace promptdb {

bool Tokenizer::IsEnd(TokenId id) const {
  return std::binary_search(end_ids_.begin(), end_ids_.end(), id);
}

}  // namespace promptdb
