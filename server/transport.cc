#include "server/transport.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

namespace promptdb {

namespace {

void SetOption(tcp::socket& socket, int level, int name, int value) {
  setsockopt(socket.native_handle(), level, name, &value, sizeof(value));
}

// A peer that is gone without a word is noticed in a minute and a half, however idle we are.
void KeepAlive(tcp::socket& socket) {
  SetOption(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(socket, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  SetOption(socket, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  SetOption(socket, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

bool IsLoopback(const asio::ip::address& address) {
  if (address.is_loopback()) return true;
  return address.is_v6() && address.to_v6().is_v4_mapped() &&
         asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
}

}  // namespace

asio::awaitable<void> Signal::Wait() {
  while (!is_set_) {
    timer_.expires_at(std::chrono::steady_clock::time_point::max());
    ErrorCodeIo ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  is_set_ = false;
}

asio::awaitable<bool> Signal::WaitFor(std::chrono::steady_clock::duration time) {
  if (!is_set_) {
    timer_.expires_after(time);
    ErrorCodeIo ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  const bool was_set = is_set_;
  is_set_ = false;
  co_return was_set;
}

void Transport::Deadline::Start(Duration time) {
  const int round = ++*round_;
  timer_.expires_after(time);
  timer_.async_wait([this, round, current = round_](const ErrorCodeIo& error) {
    // A handler that was queued already is not stopped by cancel(); after Stop() or the end of the
    // Deadline its round is over.
    if (error || round != *current) return;
    transport_.timed_out_ = true;
    transport_.Close();
  });
}

void Transport::Deadline::Stop() {
  ++*round_;
  timer_.cancel();
}

Transport::Transport(asio::io_context& io, tcp::socket socket)
    : socket_(std::move(socket)), read_deadline_(io, *this), write_deadline_(io, *this) {
  ErrorCodeIo error;
  const tcp::endpoint peer = socket_.remote_endpoint(error);
  if (!error) {
    is_from_loopback_ = IsLoopback(peer.address());
    const std::string address = peer.address().to_string();
    peer_ = (peer.address().is_v6() ? "[" + address + "]" : address) + ":" +
            std::to_string(peer.port());
  }
  socket_.set_option(tcp::no_delay(true), error);
  KeepAlive(socket_);
}

asio::awaitable<void> Transport::StartTls(std::shared_ptr<asio::ssl::context> context,
                                          ErrorCodeIo& error) {
  tls_context_ = std::move(context);
  tls_ = std::make_unique<asio::ssl::stream<tcp::socket&>>(socket_, *tls_context_);
  co_await tls_->async_handshake(asio::ssl::stream_base::server,
                                 asio::redirect_error(asio::use_awaitable, error));
}

asio::awaitable<size_t> Transport::ReadSome(asio::mutable_buffer buffer, ErrorCodeIo& error) {
  size_t got = 0;
  if (tls_ != nullptr) {
    got = co_await tls_->async_read_some(asio::buffer(buffer),
                                         asio::redirect_error(asio::use_awaitable, error));
  } else {
    got = co_await socket_.async_read_some(asio::buffer(buffer),
                                           asio::redirect_error(asio::use_awaitable, error));
  }
  co_return got;
}

asio::awaitable<void> Transport::Write(std::string_view bytes, Duration time, ErrorCodeIo& error) {
  write_deadline_.Start(time);
  const asio::const_buffer buffer(bytes.data(), bytes.size());
  if (tls_ != nullptr) {
    co_await asio::async_write(*tls_, buffer, asio::redirect_error(asio::use_awaitable, error));
  } else {
    co_await asio::async_write(socket_, buffer, asio::redirect_error(asio::use_awaitable, error));
  }
  write_deadline_.Stop();
}

void Transport::SetReadDeadline(std::optional<Duration> time) {
  time ? read_deadline_.Start(*time) : read_deadline_.Stop();
}

void Transport::Close() {
  read_deadline_.Stop();
  write_deadline_.Stop();
  ErrorCodeIo ignored;
  socket_.close(ignored);
}

void Transport::ShutDown() {
  ErrorCodeIo ignored;
  if (socket_.is_open()) socket_.shutdown(tcp::socket::shutdown_both, ignored);
  Close();
}

}  // namespace promptdb
