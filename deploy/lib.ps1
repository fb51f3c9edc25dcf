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

function Test-Elevated {
    $user = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object Security.Principal.WindowsPrincipal $user
    return $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
}

# A text as one word of a script.
function Get-Quoted {
    param([string]$Text)
    return "'" + $Text.Replace("'", "''") + "'"
}

# Runs a script with administrator rights, in a window of its own, once the user has agreed. It
# goes there as text: nothing that it runs lies in a file that somebody could change meanwhile. If it
# fails its window stays until it has been read.
function Invoke-Elevated {
    param([string]$Script)
    $whole = @"
`$ErrorActionPreference = 'Stop'
try {
$Script
}
catch {
    Write-Output "FAILED: `$_"
    Read-Host 'Enter closes this window'
    exit 1
}
exit 0
"@
    $encoded = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($whole))
    $shell = Join-Path $PSHOME 'powershell.exe'
    if (-not (Test-Path $shell)) { $shell = Join-Path $PSHOME 'pwsh.exe' }
    $process = Start-Process -FilePath $shell -Verb RunAs -Wait -PassThru `
        -ArgumentList '-NoProfile', '-EncodedCommand', $encoded
    if ($process.ExitCode -ne 0) {
        throw "the elevated step ended with exit code $($process.ExitCode)"
    }
}
