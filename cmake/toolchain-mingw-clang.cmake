# Windows, x86-64, cross-compiled on Linux with clang against MinGW's headers and libraries: a
# second compiler's opinion of the same code. Build only; toolchain-mingw.cmake makes what is run.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(SLUICE_MINGW_TRIPLE x86_64-w64-mingw32)

find_program(SLUICE_CLANG NAMES clang)
if(NOT SLUICE_CLANG)
    message(FATAL_ERROR "No clang. On Debian: apt install clang, or run deploy/quickstart.sh.")
endif()
set(CMAKE_C_COMPILER "${SLUICE_CLANG}")
set(CMAKE_C_COMPILER_TARGET ${SLUICE_MINGW_TRIPLE})
# clang 14 does not know Debian's folder name "12-win32": ask GCC where its libgcc is.
find_program(SLUICE_MINGW_GCC NAMES ${SLUICE_MINGW_TRIPLE}-gcc-win32 ${SLUICE_MINGW_TRIPLE}-gcc)
if(NOT SLUICE_MINGW_GCC)
    message(FATAL_ERROR "No MinGW libraries. On Debian: apt install gcc-mingw-w64-x86-64-win32.")
endif()
execute_process(COMMAND "${SLUICE_MINGW_GCC}" -print-libgcc-file-name
    OUTPUT_VARIABLE libgcc OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
cmake_path(GET libgcc PARENT_PATH libgcc)
foreach(kind EXE SHARED MODULE)
    set(CMAKE_${kind}_LINKER_FLAGS_INIT "-L${libgcc}")
endforeach()
set(CMAKE_RC_COMPILER ${SLUICE_MINGW_TRIPLE}-windres)

set(CMAKE_FIND_ROOT_PATH /usr/${SLUICE_MINGW_TRIPLE})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
