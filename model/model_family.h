// What a model's architecture says about its blocks before any hyperparameter is read: one row of a
// table for each family.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_MODEL_MODEL_FAMILY_H_
#define PROMPTDB_MODEL_MODEL_FAMILY_H_

#include <filesystem>
#include <string_view>

#include "model/model_config.h"

namespace promptdb {

// A configuration with the family's choices and no shapes. Throws Error(kUnsupported), naming the
// architectures that there are, for one that we do not know.
ModelConfig DescribeFamily(std::string_view architecture, const std::filesystem::path& path);

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_MODEL_FAMILY_H_
