// What strangers send to a port: garbage, lies about lengths, half a message, nothing at all. The
// server drops them, tells what can be told, and goes on serving others.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "server/wire.h"
#include "tests/support/server_process.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

std::string BigEndian(int32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  return out;
}

// A socket that sends whatever it is told to.
class RawClient {
 public:
  explicit RawClient(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~RawClient() { close(fd_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  void Send(const std::string& bytes) const {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t some = send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (some <= 0) return;  // the server has hung up already
      sent += static_cast<size_t>(some);
    }
  }
  void SendMessage(char type, const std::string& body) const {
    Send(type + BigEndian(static_cast<int32_t>(body.size()) + 4) + body);
  }
  void HalfClose() const { shutdown(fd_, SHUT_WR); }

  struct Message {
    char type = 0;
    std::string body;
  };
  // nullopt at the end of the stream, or when nothing comes in `seconds`.
  std::optional<Message> Read(int seconds = 30) {
    while (in_.size() < 5) {
      if (!ReadMore(seconds)) return std::nullopt;
    }
    FieldReader fields(std::string_view(in_).substr(1));
    const auto length = static_cast<size_t>(fields.Int32());
    while (in_.size() < length + 1) {
      if (!ReadMore(seconds)) return std::nullopt;
    }
    Message message{in_[0], in_.substr(5, length - 4)};
    in_.erase(0, length + 1);
    return message;
  }
  // The types of all messages up to one of `last`, or to the end of the stream.
  std::string TypesUntil(char last) {
    std::string types;
    while (const std::optional<Message> message = Read()) {
      types += message->type;
      if (message->type == last) break;
    }
    return types;
  }
  // Whether the server hangs up in time, whatever it says before.
  bool IsClosed(int seconds = 30) {
    while (ReadMore(seconds)) {
    }
    return is_ended_;
  }
  const std::string& in() const { return in_; }

  void StartUp() {
    Send(BigEndian(4 + 4 + 9 + 1) + BigEndian(kProtocolVersion) + std::string("user\0eve\0\0", 10));
    EXPECT_EQ(TypesUntil('Z').back(), 'Z');
  }

 private:
  bool ReadMore(int seconds) {
    pollfd waiting{fd_, POLLIN, 0};
    if (poll(&waiting, 1, seconds * 1000) <= 0) return false;
    char bytes[4096];
    const ssize_t got = read(fd_, bytes, sizeof bytes);
    if (got <= 0) {
      is_ended_ = true;
      return false;
    }
    in_.append(bytes, static_cast<size_t>(got));
    return true;
  }

  int fd_;
  std::string in_;
  bool is_ended_ = false;
};

class HostileTest : public testing::Test {
 protected:
  HostileTest()
      : server_(PROMPTDB_PCSERVER, folder_ / "db",
                {"--demo", "--startup-timeout", "2", "--max-message", "64kB"}) {}

  ~HostileTest() override {
    // Whatever happened, others are served.
    RawClient honest(server_.port());
    honest.StartUp();
    honest.SendMessage('Q', std::string("SHOW MODELS\0", 12));
    EXPECT_EQ(honest.TypesUntil('Z'), "TDCZ");
    EXPECT_TRUE(server_.IsRunning());
  }

  TemporaryFolder folder_{"hostile"};
  ServerProcess server_;
};

TEST_F(HostileTest, FirstPacketsThatAreNone) {
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), BigEndian(INT32_MAX) + "x", BigEndian(-1),
        BigEndian(0), BigEndian(7), BigEndian(8) + BigEndian(0),
        BigEndian(8) + BigEndian(kProtocolVersion),                    // names no user
        BigEndian(12) + BigEndian(kProtocolVersion) + "user",          // no end of a string
        BigEndian(12) + BigEndian(kCancelRequestCode) + BigEndian(1),  // too short
        BigEndian(16) + BigEndian(kCancelRequestCode) + BigEndian(1) + BigEndian(99),
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01", 8)}) {
    RawClient client(server_.port());
    client.Send(bytes);
    client.HalfClose();
    EXPECT_TRUE(client.IsClosed()) << testing::PrintToString(bytes);
  }
}

TEST_F(HostileTest, OtherVersionsOfTheProtocol) {
  RawClient old(server_.port());
  old.Send(BigEndian(18) + BigEndian(2 << 16) + std::string("user\0eve\0\0", 10));
  const auto refusal = old.Read();
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->type, 'E');
  EXPECT_NE(refusal->body.find("0A000"), std::string::npos);
  // 3.2 is answered with 3.0, as the protocol has it.
  RawClient newer(server_.port());
  newer.Send(BigEndian(18) + BigEndian((3 << 16) + 2) + std::string("user\0eve\0\0", 10));
  const auto offer = newer.Read();
  ASSERT_TRUE(offer);
  EXPECT_EQ(offer->type, 'v');
  EXPECT_EQ(newer.TypesUntil('Z').back(), 'Z');
}

TEST_F(HostileTest, WhoSaysNothingIsSentAway) {
  RawClient silent(server_.port());
  RawClient slow(server_.port());
  slow.Send(BigEndian(100));
  RawClient half(server_.port());
  half.StartUp();
  half.Send("Q" + BigEndian(1000) + "SHOW");
  EXPECT_TRUE(silent.IsClosed());
  EXPECT_TRUE(slow.IsClosed());
  EXPECT_TRUE(half.IsClosed());
}

TEST_F(HostileTest, MessagesThatAreTooLong) {
  RawClient client(server_.port());
  client.StartUp();
  client.Send("Q" + BigEndian(1 << 20));
  const auto refusal = client.Read();
  ASSERT_TRUE(refusal);
  EXPECT_NE(refusal->body.find("08P01"), std::string::npos);
  EXPECT_TRUE(client.IsClosed());
  RawClient negative(server_.port());
  negative.StartUp();
  negative.Send("Q" + BigEndian(-5));
  EXPECT_EQ(negative.TypesUntil('E'), "E");
  EXPECT_TRUE(negative.IsClosed());
}

TEST_F(HostileTest, MessagesThatLieAboutTheirFields) {
  RawClient client(server_.port());
  client.StartUp();
  const std::vector<std::pair<char, std::string>> lies = {
      {'P', ""},
      {'P', std::string("p\0SHOW MODELS", 13)},
      {'P', std::string("p\0SHOW MODELS\0\x7f\xff", 16)},
      {'B', std::string("\0\0\xff\xff", 4)},
      {'B', std::string("\0nothing\0\0\0\0\0\0\0", 15)},
      {'D', "X"},
      {'D', std::string("Q\0", 2)},
      {'E', std::string("\0\0", 2)},
      {'E', std::string("none\0\0\0\0\0", 9)},
      {'C', std::string("Z\0", 2)},
  };
  for (const auto& [type, body] : lies) {
    client.SendMessage(type, body);
    client.SendMessage('S', "");
    EXPECT_EQ(client.TypesUntil('Z'), "EZ") << type;
  }
  // In a simple query, too.
  client.SendMessage('Q', "SHOW MODELS");
  EXPECT_EQ(client.TypesUntil('Z'), "EZ");
  client.SendMessage('F', std::string(10, '\0'));
  EXPECT_EQ(client.TypesUntil('Z'), "EZ");
  // What is no message of the protocol ends the connection.
  client.SendMessage('!', "");
  EXPECT_EQ(client.TypesUntil('E'), "E");
  EXPECT_TRUE(client.IsClosed());
}

TEST_F(HostileTest, AfterAnErrorEverythingIsSkippedUpToSync) {
  RawClient client(server_.port());
  client.StartUp();
  client.SendMessage('P', std::string("\0SHOW nothing\0\0\0", 16));
  client.SendMessage('B', std::string("\0\0\0\0\0\0\0\0", 8));
  client.SendMessage('E', std::string("\0\0\0\0\0", 5));
  client.SendMessage('P', std::string("\0SHOW MODELS\0\0\0", 15));
  client.SendMessage('S', "");
  EXPECT_EQ(client.TypesUntil('Z'), "EZ");
}

TEST_F(HostileTest, APortalGivesItsRowsInPortions) {
  RawClient client(server_.port());
  client.StartUp();
  client.SendMessage('Q', std::string("BEGIN\0", 6));
  EXPECT_EQ(client.TypesUntil('Z'), "CZ");
  const std::string query =
      "SELECT GENERATE (max_tokens => 5, ignore_eos => true) FROM demo PROMPT 'Go' WITH (stream = "
      "on)";
  client.SendMessage('P', std::string(1, '\0') + query + std::string(3, '\0'));
  client.SendMessage('B', std::string("c\0\0\0\0\0\0\0\0", 9));
  client.SendMessage('E', std::string("c\0\0\0\0\2", 6));
  client.SendMessage('S', "");
  EXPECT_EQ(client.TypesUntil('Z'), "12DDsZ");
  // Another statement in between, while the portal is open.
  client.SendMessage('Q', std::string("SHOW MODELS\0", 12));
  EXPECT_EQ(client.TypesUntil('Z'), "TDCZ");
  client.SendMessage('E', std::string("c\0\0\0\0\1", 6));
  client.SendMessage('E', std::string("c\0\0\0\0\0", 6));
  client.SendMessage('S', "");
  const std::string rest = client.TypesUntil('Z');
  EXPECT_EQ(rest.substr(0, 2), "Ds");
  EXPECT_EQ(rest.substr(rest.size() - 3), "DCZ");
  // COMMIT ends it.
  client.SendMessage('Q', std::string("COMMIT\0", 7));
  EXPECT_EQ(client.TypesUntil('Z'), "CZ");
  client.SendMessage('E', std::string("c\0\0\0\0\0", 6));
  client.SendMessage('S', "");
  EXPECT_EQ(client.TypesUntil('Z'), "EZ");
}

TEST_F(HostileTest, AFloodOfMessagesIsAnsweredOneByOne) {
  RawClient client(server_.port());
  client.StartUp();
  std::string flood;
  constexpr int kQueries = 5000;
  for (int i = 0; i < kQueries; ++i) {
    flood += "Q" + BigEndian(13) + std::string("SELECT 1\0", 9);
  }
  // From a thread of its own, since neither side may wait for the other.
  std::thread sender([&] { client.Send(flood); });
  for (int i = 0; i < kQueries; ++i) ASSERT_EQ(client.TypesUntil('Z'), "TDCZ");
  sender.join();
}

TEST_F(HostileTest, RandomBytesAndBrokenConversations) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string conversation =
      std::string("Q") + BigEndian(16) + std::string("SHOW MODELS\0", 12) + "P" + BigEndian(20) +
      std::string("\0SHOW MODELS\0\0\0\0", 16) + "B" + BigEndian(12) +
      std::string("\0\0\0\0\0\0\0\0", 8) + "D" + BigEndian(6) + std::string("P\0", 2) + "E" +
      BigEndian(9) + std::string("\0\0\0\0\0", 5) + "S" + BigEndian(4);
  for (int round = 0; round < 300; ++round) {
    RawClient client(server_.port());
    std::string bytes = conversation;
    if (round % 3 == 0) {
      bytes.resize(random() % 200);
      for (char& byte : bytes) byte = static_cast<char>(random());
    } else {
      client.StartUp();
      for (uint32_t i = 0; i <= random() % 4; ++i) {
        bytes[random() % bytes.size()] = static_cast<char>(random());
      }
      if (round % 3 == 1) bytes.resize(random() % bytes.size());
    }
    client.Send(bytes);
    if (random() % 2 == 0) {
      client.HalfClose();
      EXPECT_TRUE(client.IsClosed());
    }
  }
}

}  // namespace
}  // namespace promptdb
