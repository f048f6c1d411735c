// A client's byte stream: a TCP socket, in the clear or under TLS, with deadlines in both
// directions.
//
// Not thread-safe: everything happens on the I/O thread. One coroutine may read while another
// writes.
#ifndef PROMPTDB_SERVER_TRANSPORT_H_
#define PROMPTDB_SERVER_TRANSPORT_H_

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/asio.h"

namespace promptdb {

// Something that a coroutine waits for and another piece of code tells. A Set() before the Wait()
// counts. One coroutine waits at a time.
class Signal {
 public:
  explicit Signal(asio::io_context& io) : timer_(io) {}

  void Set() {
    is_set_ = true;
    timer_.cancel();
  }
  asio::awaitable<void> Wait();
  // False when it has not come in time.
  asio::awaitable<bool> WaitFor(std::chrono::steady_clock::duration time);

 private:
  asio::steady_timer timer_;
  bool is_set_ = false;
};

class Transport {
 public:
  using Duration = std::chrono::steady_clock::duration;

  Transport(asio::io_context& io, tcp::socket socket);

  // Becomes TLS, as the server. The error, if any, is left in `error`.
  asio::awaitable<void> StartTls(std::shared_ptr<asio::ssl::context> context, ErrorCodeIo& error);

  // At least one byte; 0 with `error` set at the end or after a failure.
  asio::awaitable<size_t> ReadSome(asio::mutable_buffer buffer, ErrorCodeIo& error);
  // All of `bytes`, within `time`.
  asio::awaitable<void> Write(std::string_view bytes, Duration time, ErrorCodeIo& error);

  // Reads that are not done in time fail; nullopt: reads may wait for ever.
  void SetReadDeadline(std::optional<Duration> time);

  // Reads and writes under way fail.
  void Close();
  // Says goodbye as far as that needs no waiting, and closes.
  void ShutDown();

  bool is_encrypted() const { return tls_ != nullptr; }
  bool is_open() const { return socket_.is_open(); }
  // True when a deadline closed it.
  bool timed_out() const { return timed_out_; }
  bool is_from_loopback() const { return is_from_loopback_; }
  const std::string& peer() const { return peer_; }  // address:port

 private:
  // Closes the socket when it has not been stopped in time.
  class Deadline {
   public:
    Deadline(asio::io_context& io, Transport& transport) : timer_(io), transport_(transport) {}
    ~Deadline() { Stop(); }
    void Start(Duration time);
    void Stop();

   private:
    asio::steady_timer timer_;
    Transport& transport_;
    std::shared_ptr<int> round_ = std::make_shared<int>(0);  // outlives the timer's handlers
  };

  tcp::socket socket_;
  std::shared_ptr<asio::ssl::context> tls_context_;
  std::unique_ptr<asio::ssl::stream<tcp::socket&>> tls_;
  Deadline read_deadline_;
  Deadline write_deadline_;
  bool timed_out_ = false;
  bool is_from_loopback_ = false;
  std::string peer_;
};

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_TRANSPORT_H_
