# lib.ps1 - what quickstart.ps1 and test.ps1 share. NOT RUN HERE: there is no Windows here.
# Dot-sourced with $root set.

# Runs a program in the source tree's top; a failing one ends the script.
function Invoke-Checked {
    param([string]$Program, [Parameter(ValueFromRemainingArguments)][string[]]$Arguments)
    Push-Location $root
    try {
        & $Program @Arguments
        if ($LASTEXITCODE -ne 0) {
            throw "$Program $Arguments ended with exit code $LASTEXITCODE"
        }
    }
    finally { Pop-Location }
}

function Test-Requirements {
    foreach ($tool in 'cmake', 'ninja', 'cl') {
        if (-not (Get-Command $tool -ErrorAction SilentlyContinue)) {
            throw "$tool is not there: use an ""x64 Native Tools"" prompt of Visual Studio 2022"
        }
    }
    if (-not $env:VCPKG_ROOT) { throw 'VCPKG_ROOT is not set: where is vcpkg?' }
}
