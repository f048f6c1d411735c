// The pattern of LIKE: % stands for any characters, _ for one, and a backslash takes the meaning
// from what follows it. Characters are those of UTF-8; letters are matched with regard to case.
//
// Thread-safe: immutable.
#ifndef PROMPTDB_PLANNER_LIKE_PATTERN_H_
#define PROMPTDB_PLANNER_LIKE_PATTERN_H_

#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

class LikePattern {
 public:
  // Throws Error(kInvalidArgument), without a place, where the pattern ends in a backslash.
  explicit LikePattern(std::string_view pattern);

  // Whether all of `text` is as the pattern says. Takes at most text times pattern steps.
  bool Matches(std::string_view text) const;

 private:
  struct Element {
    enum class Kind { kCharacter, kOne, kAny };
    Kind kind = Kind::kCharacter;
    std::string bytes;  // kCharacter
  };
  std::vector<Element> elements_;
};

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_LIKE_PATTERN_H_
