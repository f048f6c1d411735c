// Boost.Asio as server/ uses it. Its code is compiled once, in asio.cc.
//
// GCC 12 makes wrong code of a co_await within a condition (if, while, &&, ||, ?:) of a loop, so
// its result is always given a name first.
#ifndef PROMPTDB_SERVER_ASIO_H_
#define PROMPTDB_SERVER_ASIO_H_

// clang-format off: Boost 1.74's coroutines need <utility> before them and do not include it.
#include <utility>
// clang-format on

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace promptdb {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCodeIo = boost::system::error_code;

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_ASIO_H_
