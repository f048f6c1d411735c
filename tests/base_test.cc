#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <new>
#include <span>
#include <stdexcept>
#include <string>

#include "base/bfloat16.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/nearest_name.h"
#include "base/utf8.h"

namespace promptdb {
namespace {

TEST(ErrorTest, PointsAtThePlaceInItsLine) {
  const std::string text = "SELECT GENERATE\nFROM citys";
  const Error error(ErrorCode::kUnknownName, "schema \"citys\" does not exist", "Look.",
                    SourceRange{21, 26});
  EXPECT_EQ(FormatError(error, text),
            "error: unknown name: schema \"citys\" does not exist\n"
            "  line 2: FROM citys\n"
            "               ^^^^^\n"
            "hint: Look.\n");
  EXPECT_EQ(FormatError(error, ""),
            "error: unknown name: schema \"citys\" does not exist\nhint: Look.\n");
}

TEST(ErrorTest, CountsCharactersAndNotBytes) {
  const std::string text = "USE 'größe', x";
  const Error error(ErrorCode::kUnknownName, "no x", "",
                    SourceRange{static_cast<int>(text.size()) - 1, static_cast<int>(text.size())});
  EXPECT_EQ(FormatError(error, text),
            "error: unknown name: no x\n"
            "  line 1: USE 'größe', x\n"
            "                       ^\n");
}

TEST(ErrorTest, RangesOutsideTheTextAreHarmless) {
  const Error error(ErrorCode::kSyntax, "m", "", SourceRange{900, 1000});
  EXPECT_EQ(FormatError(error, "ab"), "error: syntax error: m\n  line 1: ab\n            ^\n");
}

TEST(ErrorTest, DamageIsWhatWasChangedAndWhatCannotBeRead) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    const auto of = static_cast<ErrorCode>(code);
    EXPECT_EQ(IsDamage(Error(of, "m")), of == ErrorCode::kCorrupt || of == ErrorCode::kIo) << code;
  }
}

TEST(ErrorTest, AtKeepsAPlaceThatIsKnown) {
  const Error error(ErrorCode::kSyntax, "m", "", SourceRange{1, 2});
  EXPECT_EQ(error.At({5, 6}).range()->begin, 1);
  EXPECT_EQ(Error(ErrorCode::kSyntax, "m").At({5, 6}).range()->begin, 5);
}

Error Current(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception&) {
    return CurrentError();
  }
  return Error(ErrorCode::kInternal, "nothing was thrown");
}

TEST(ErrorTest, WhateverWasCaughtIsOne) {
  const Error own = Current([] {
    throw Error(ErrorCode::kDenied, "no", "Ask.", SourceRange{1, 2});
  });
  EXPECT_EQ(own.code(), ErrorCode::kDenied);
  EXPECT_EQ(own.hint(), "Ask.");
  EXPECT_EQ(own.range()->end, 2);
  EXPECT_EQ(Current([] { throw std::bad_alloc(); }).code(), ErrorCode::kResource);
  const Error unforeseen = Current([] { throw std::out_of_range("the place"); });
  EXPECT_EQ(unforeseen.code(), ErrorCode::kInternal);
  EXPECT_EQ(unforeseen.message(), "the place");
}

TEST(NearestNameTest, FindsSlipsAndNothingElse) {
  const std::vector<std::string> names = {"cities", "paris", "max_tokens"};
  EXPECT_EQ(NearestName("citys", names), "cities");
  EXPECT_EQ(NearestName("pairs", names), "paris");
  EXPECT_EQ(NearestName("MAX_TOKEN", names), "max_tokens");
  EXPECT_EQ(NearestName("berlin", names), "");
  EXPECT_EQ(DidYouMean("prais", names), "Did you mean \"paris\"?");
  EXPECT_EQ(DidYouMean("x", {}), "");
}

TEST(DigestTest, ReadsBackWhatItWrites) {
  const Digest digest{0x0123456789abcdefu, 0xfedcba9876543210u};
  EXPECT_EQ(digest.ToHex(), "0123456789abcdeffedcba9876543210");
  EXPECT_EQ(Digest::FromHex(digest.ToHex()), digest);
  EXPECT_EQ(Digest::FromBytes(digest.ToBytes()), digest);
  EXPECT_THROW(Digest::FromHex("0123"), Error);
  EXPECT_THROW(Digest::FromHex(std::string(32, 'g')), Error);
}

TEST(DigestTest, FramesValues) {
  EXPECT_NE(Hasher().Add("ab").Add("c").Finish(), Hasher().Add("a").Add("bc").Finish());
  EXPECT_EQ(Hasher().Add("ab").Add(7).Finish(), Hasher().Add("ab").Add(7).Finish());
}

// The digests of stored states depend on it: this value may never change.
TEST(DigestTest, IsTheSameInEveryRelease) {
  EXPECT_EQ(DigestBytes(std::as_bytes(std::span("promptdb", 8))).ToHex(),
            "9c99d0cc34e5cdf3965e8d33fb86db25");
}

TEST(Utf8Test, FindsAndReplacesWhatIsDamaged) {
  EXPECT_TRUE(IsValidUtf8("größe, 中文, 🙂"));
  EXPECT_EQ(FindInvalidUtf8("0123456789\xff"), 10u);
  EXPECT_EQ(FindInvalidUtf8("\xed\xa0\x80"), 0u);      // a surrogate
  EXPECT_EQ(FindInvalidUtf8("a\xc0\xaf"), 1u);         // overlong
  EXPECT_EQ(FindInvalidUtf8("\xf4\x90\x80\x80"), 0u);  // beyond U+10FFFF
  EXPECT_EQ(ReplaceInvalidUtf8("a\xe2\x82"
                               "b"),
            "a\uFFFDb");  // one maximal subpart
}

TEST(FloatTest, RoundsToNearestEven) {
  EXPECT_EQ(FloatFromBf16(Bf16FromFloat(1.0f)), 1.0f);
  EXPECT_EQ(Bf16FromFloat(1.00390625f), 0x3f80);  // halfway between two: to the even one
  EXPECT_EQ(Bf16FromFloat(1.01171875f), 0x3f82);
  EXPECT_TRUE(std::isnan(FloatFromBf16(Bf16FromFloat(NAN))));
  EXPECT_EQ(FloatFromF16(F16FromFloat(0.5f)), 0.5f);
}

TEST(MappedFileTest, ReleasedPagesAreReadAgain) {
  const std::string path = testing::TempDir() + "released_pages";
  std::string content(100000, 'x');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>('a' + i % 23);
  std::ofstream(path) << content;
  const MappedFile file(path);
  const Digest digest = DigestMapped(file.bytes());
  EXPECT_EQ(file.text(), content);
  ReleasePages(file.bytes().subspan(5000, 90000));
  ReleasePages(file.bytes().subspan(10, 20));  // no whole page
  ReleasePages({});
  EXPECT_EQ(file.text(), content);
  EXPECT_EQ(DigestBytes(file.bytes()), digest);
  std::filesystem::remove(path);
}

TEST(MappedFileTest, SaysWhyItCannotRead) {
  try {
    const MappedFile file("/nonexistent/file");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_EQ(error.message(), "cannot read \"/nonexistent/file\": No such file or directory");
  }
}

}  // namespace
}  // namespace promptdb
