# promptdb_library(name SOURCES…): a static library of our own code, where a warning is an error.
function(promptdb_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Werror -Wno-missing-field-initializers)
  # With sanitizers, GCC 12 sees uninitialised variables in its own <regex>.
  if(PROMPTDB_SANITIZE)
    target_compile_options(${target} PRIVATE -Wno-error)
  endif()
  # Clang is here for its fuzzer; GCC's warnings are those that count.
  if(PROMPTDB_FUZZ)
    target_compile_options(${target} PRIVATE -w)
  endif()
endfunction()

function(promptdb_library name)
  add_library(promptdb_${name} STATIC ${ARGN})
  promptdb_warnings(promptdb_${name})
endfunction()
