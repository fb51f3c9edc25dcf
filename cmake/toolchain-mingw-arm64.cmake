# Windows, ARM64, compiled on Linux with clang against MinGW's headers, which Debian has for x86-64
# and which serve. It has no C runtime and no import libraries for ARM64: everything of ours is
# compiled to objects and archives, nothing can be linked; what stands for a program is empty.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

find_program(SLUICE_CLANG NAMES clang)
if(NOT SLUICE_CLANG)
    message(FATAL_ERROR "No clang. On Debian: apt install clang, or run deploy/quickstart.sh.")
endif()
set(CMAKE_C_COMPILER "${SLUICE_CLANG}")
set(CMAKE_C_COMPILER_TARGET aarch64-w64-mingw32)
find_path(SLUICE_MINGW_HEADERS NAMES _mingw.h HINTS /usr/share/mingw-w64/include
    /usr/x86_64-w64-mingw32/include NO_DEFAULT_PATH)
if(NOT SLUICE_MINGW_HEADERS)
    message(FATAL_ERROR "No MinGW headers. On Debian: apt install gcc-mingw-w64-x86-64-win32.")
endif()
set(CMAKE_C_FLAGS_INIT "-isystem ${SLUICE_MINGW_HEADERS}")

set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
# The platform's own rules for linking are set behind this file, so it is read once more then.
set(CMAKE_USER_MAKE_RULES_OVERRIDE_C "${CMAKE_CURRENT_LIST_FILE}")
set(CMAKE_C_LINK_EXECUTABLE "<CMAKE_COMMAND> -E touch <TARGET>")
set(CMAKE_C_CREATE_SHARED_LIBRARY "<CMAKE_COMMAND> -E touch <TARGET> <TARGET_IMPLIB>")

# The libraries' headers are the same as for x86-64; their code is not linked.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
