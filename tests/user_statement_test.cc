// CREATE, ALTER and DROP USER, GRANT and REVOKE, from text to syntax tree; and what is kept of
// their secrets where statements are shown.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "parser/parser.h"
#include "tests/parse_one.h"

namespace promptdb {
namespace {

TEST(UserStatementTest, Users) {
  const auto create = ParseOne<ast::CreateUser>(
      "CREATE USER IF NOT EXISTS u PASSWORD 'p' WITH (admin = on, tokens_per_day = 10)");
  EXPECT_TRUE(create.if_not_exists);
  EXPECT_EQ(create.name.text, "u");
  ASSERT_TRUE(create.password);
  EXPECT_EQ(create.password->text, "p");
  ASSERT_EQ(create.options.size(), 2U);
  EXPECT_EQ(create.options[1].name.text, "tokens_per_day");
  EXPECT_FALSE(ParseOne<ast::CreateUser>("CREATE USER u").password);

  using Alter = ast::AlterUser;
  const auto action = [](const std::string& text) {
    return ParseOne<Alter>("ALTER USER u " + text).action;
  };
  EXPECT_EQ(std::get<Alter::SetPassword>(action("PASSWORD $$p$$")).password.text, "p");
  EXPECT_EQ(std::get<Alter::SetOptions>(action("SET (admin = off)")).options.size(), 1U);
  EXPECT_EQ(std::get<Alter::Rename>(action("RENAME TO V")).name.text, "v");
  EXPECT_EQ(std::get<Alter::AddKey>(action("ADD KEY laptop")).name.text, "laptop");
  EXPECT_EQ(std::get<Alter::DropKey>(action("DROP KEY \"My key\"")).name.text, "My key");
  EXPECT_TRUE(ParseOne<ast::DropUser>("DROP USER IF EXISTS u;").if_exists);
}

TEST(UserStatementTest, Rights) {
  using On = ast::Grant::On;
  const auto grant = ParseOne<ast::Grant>("GRANT SELECT, Warm, CREATE ON SCHEMA s TO u, PUBLIC");
  EXPECT_TRUE(grant.is_grant);
  ASSERT_EQ(grant.privileges.size(), 3U);
  EXPECT_EQ(grant.privileges[0].text, "select");
  EXPECT_EQ(grant.privileges[1].text, "warm");
  EXPECT_EQ(grant.privileges[2].text, "create");
  EXPECT_EQ(grant.on, On::kSchema);
  EXPECT_EQ(grant.object.text, "s");
  ASSERT_EQ(grant.users.size(), 2U);
  EXPECT_EQ(grant.users[1].text, "public");
  const auto revoke = ParseOne<ast::Grant>("REVOKE ALL ON DATABASE FROM u");
  EXPECT_FALSE(revoke.is_grant);
  EXPECT_EQ(revoke.on, On::kDatabase);
  EXPECT_EQ(ParseOne<ast::Grant>("GRANT usage ON MODEL m TO u").on, On::kModel);
  EXPECT_EQ(ParseOne<ast::Grant>("GRANT helpers TO u").on, On::kNothing);
}

TEST(UserStatementTest, SecretsAreMasked) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"CREATE USER u PASSWORD 'p''w';", "CREATE USER u PASSWORD '****';"},
      {"SELECT 'a'; alter /* x */ user u password $$pw$$; SHOW USERS",
       "SELECT 'a'; alter /* x */ user u password $****$; SHOW USERS"},
      {"CREATE USER u 'pw'", "CREATE USER u '**'"},
      {"CRATE USER u PASSWORD 'pw'", "CRATE USER u PASSWORD '**'"},
      {"CREATE USER u PASSWORD pw1 WITH (admin = on)",
       "CREATE USER u PASSWORD *** WITH (admin = on)"},
      {"ALTER USER u PASSWORD 12", "ALTER USER u PASSWORD **"},
      {"ALTER USER u PASSWORD 'p;w", "ALTER USER u PASSWORD '***"},
      {"SELECT GENERATE FROM s PROMPT 'the password'",
       "SELECT GENERATE FROM s PROMPT 'the password'"},
      {"CREATE MODEL m FROM 'user.gguf'", "CREATE MODEL m FROM 'user.gguf'"},
  };
  for (const auto& [text, masked] : cases) EXPECT_EQ(MaskSecrets(text), masked);
}

}  // namespace
}  // namespace promptdb
