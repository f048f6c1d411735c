// The name of one block of attention states.
//
// Thread-safe: a value.
#ifndef PROMPTDB_STORAGE_BLOCK_ID_H_
#define PROMPTDB_STORAGE_BLOCK_ID_H_

#include <cstddef>

#include "base/digest.h"

namespace promptdb {

struct BlockId {
  Digest state;
  int index = 0;  // in the state's BlockGrid

  bool operator==(const BlockId&) const = default;
};

struct BlockIdHash {
  size_t operator()(const BlockId& id) const {
    return DigestHash()(id.state) * 31 + static_cast<size_t>(id.index);
  }
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_BLOCK_ID_H_
